// Files compressed by gzip (RFC 1952), unpacked into memory by zlib.

import CZlib
import Checkpoints

enum Gzip {
    /// The most that a file may unpack to: a small one can hold any amount.
    private static let maximumBytes = 1 << 30

    static func inflated(_ file: InputFile) throws(FileError) -> [UInt8] {
        var stream = z_stream()
        // 16: a gzip header, 15: the largest window.
        guard inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw FileError(file.path, "cannot be unpacked: zlib \(ZLIB_VERSION) does not start")
        }
        defer { inflateEnd(&stream) }
        func damaged(_ message: String) -> FileError {
            FileError(
                file.path, "is compressed by gzip and \(message)",
                remedy: "the file is cut or damaged: copy or download it again")
        }
        var result: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: InputFile.window)
        var read = 0
        var isDone = false
        while read < file.count {
            var source = try file.bytes(at: read, count: min(InputFile.window, file.count - read))
            read += source.count
            let status = source.withUnsafeMutableBufferPointer { source in
                stream.next_in = source.baseAddress
                stream.avail_in = UInt32(source.count)
                return inflate(&stream, &piece, into: &result, &isDone)
            }
            guard status == Z_OK else {
                throw damaged(stream.msg.map { "zlib says: \(String(cString: $0))" } ?? "is not valid")
            }
            guard result.count <= maximumBytes else {
                throw FileError(
                    file.path, "unpacks to more than \(maximumBytes) bytes",
                    remedy: "unpack it before, or divide it")
            }
        }
        guard isDone else { throw damaged("ends too early") }
        return result
    }

    /// Unpacks all of the input that is there, of files behind each other too.
    private static func inflate(
        _ stream: inout z_stream, _ piece: inout [UInt8], into result: inout [UInt8], _ isDone: inout Bool
    ) -> Int32 {
        while stream.avail_in > 0 || stream.avail_out == 0 {
            if isDone {
                guard stream.avail_in > 0 else { break }
                inflateReset(&stream)
                isDone = false
            }
            let status = piece.withUnsafeMutableBufferPointer { target in
                stream.next_out = target.baseAddress
                stream.avail_out = UInt32(target.count)
                return CZlib.inflate(&stream, Z_NO_FLUSH)
            }
            result += piece[..<(piece.count - Int(stream.avail_out))]
            switch status {
            case Z_OK: if result.count > maximumBytes { return Z_OK }
            case Z_STREAM_END: isDone = true
            case Z_BUF_ERROR: return Z_OK
            default: return status
            }
        }
        return Z_OK
    }
}
