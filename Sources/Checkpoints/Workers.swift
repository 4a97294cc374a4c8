// Work of the processor on all its cores: pieces are made at once and taken in their order, so that what is written does not depend
// on how many cores there are.

import Glibc
import Synchronization

package enum Workers {
    package static let count = max(1, min(64, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))

    /// Makes pieces 0..<count, a piece a core at once, and hands each to `take` in order on the caller's thread. The first
    /// error of a piece is thrown. Stops between pieces where `Interruption` asks for it; `path` is what that names.
    package static func inOrder<Piece: Sendable>(
        _ count: Int, path: String, make: @Sendable (Int) throws(FileError) -> Piece,
        take: (Piece) throws(FileError) -> Void
    ) throws(FileError) {
        for start in stride(from: 0, to: count, by: Workers.count) {
            try Interruption.check(path)
            let made = Mutex<[Int: Swift.Result<Piece, FileError>]>([:])
            let wave = start..<min(start + Workers.count, count)
            run(wave.count) { index in
                let piece = Swift.Result<Piece, FileError> { () throws(FileError) in try make(start + index) }
                made.withLock { $0[index] = piece }
            }
            let pieces = made.withLock { $0 }
            for index in wave.indices.map({ $0 - start }) {
                if let piece = pieces[index] { try take(piece.get()) }
            }
        }
    }

    /// Calls `body` with 0..<count on as many threads, of which the caller's is one, and returns when all are done.
    private static func run(_ count: Int, _ body: @Sendable (Int) -> Void) {
        withoutActuallyEscaping(body) { body in
            let work = Work(count, body)
            let threads = (1..<max(1, count)).compactMap { _ in start(work) }
            work.run()
            for thread in threads { pthread_join(thread, nil) }
        }
    }

    /// nil where the system has no more threads: the others do the work.
    private static func start(_ work: Work) -> pthread_t? {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(work)
        let status = pthread_create(
            &thread, nil,
            { context in
                if let context { Unmanaged<Work>.fromOpaque(context).takeRetainedValue().run() }
                return nil
            }, context.toOpaque())
        if status == 0 { return thread }
        context.release()
        return nil
    }

    private final class Work: Sendable {
        private let count: Int
        private let body: @Sendable (Int) -> Void
        private let next = Atomic(0)

        init(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
            (self.count, self.body) = (count, body)
        }

        func run() {
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < count else { return }
                body(index)
            }
        }
    }
}
