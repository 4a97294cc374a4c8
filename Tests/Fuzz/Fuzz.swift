// One process of `scripts/fuzz`: reads files that were changed by chance, by the C API where it can. What a seed does depends
// on nothing else. After each input the status file says how far it is, so that whoever started it knows what ended it.
//
//   Fuzz FOLDER KIND FIRST COUNT          exits 0, or 97 for memory, 98 for an error's text; SIGPROF ends what takes too long

import CLoRAVK
import Checkpoints
import Glibc
import LoRAVK
import LoRAVKC

enum Outcome: Int, CaseIterable {
    case refused, refusedLater, accepted
}

/// The folder that files are written into.
enum Work {
    static let folder = CommandLine.arguments[1]

    static func path(_ name: String) -> String { "\(folder)/\(name)" }

    static func write(_ bytes: [UInt8], _ name: String) {
        guard let file = fopen(path(name), "wb") else { fatalError("cannot write \(path(name))") }
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }
}

/// An error's text as a host gets it.
func complaint(_ status: loravk_status) -> Bool {
    guard status != LORAVK_OK else { return false }
    checkText(String(cString: loravk_last_error()))
    return true
}

func checkText(_ text: String) {
    let isSentence = !text.isEmpty && text.utf8.count <= 4096 && text == text.printable(keeping: "\n")
    if !isSentence {
        print("an error that is no sentence: \(text.prefix(500))")
        fflush(nil)
        exit(98)
    }
}

@main
enum Fuzz {
    /// CPU seconds and bytes that one input may take.
    private static let seconds = 5
    private static let memory = 512 << 20

    static func main() throws {
        let words = CommandLine.arguments
        guard words.count == 5, let first = UInt64(words[3]), let count = UInt64(words[4]),
            let kind = Kind.all.first(where: { $0.name == words[2] })
        else {
            return print(Kind.all.map(\.name).joined(separator: " "))
        }
        let status = open(Work.path("status"), O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        func note(_ seed: UInt64, _ counts: [Int]) {
            let line = "\(seed) \(counts.map(String.init).joined(separator: " "))                    \n"
            _ = line.withCString { pwrite(status, $0, strlen($0), 0) }
        }
        let run = try kind.prepare()
        var counts = Outcome.allCases.map { _ in 0 }
        for seed in first..<first + count {
            note(seed, counts)
            let before = peak()
            limitTime()
            counts[run(Mutation(random: RandomNumbers(seed: seed &* 0x2545_F491_4F6C_DD1D))).rawValue] += 1
            if peak() - before > memory {
                print("\(kind.name) \(seed): \((peak() - before) >> 20) MiB")
                fflush(nil)
                exit(97)
            }
        }
        note(first + count, counts)
    }

    private static func peak() -> Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss << 10
    }

    private static func limitTime() {
        var timer = itimerval()
        timer.it_value.tv_sec = seconds
        setitimer(__itimer_which_t(ITIMER_PROF.rawValue), &timer, nil)
    }
}
