// TensorBoard's event files: records of one message `Event` each, appended as steps are done.
//
//   record   length (8 bytes), its checksum (4), message, its checksum (4); all little-endian
//   Event    wall_time 1: double, step 2: int64, file_version 3: string, summary 5: message
//   Summary  value 1: message, repeated; its tag 1: string, simple_value 2: float
// The checksum is CRC-32C, rotated and shifted (tensorflow/core/lib/hash/crc32c.h).

import Checkpoints

package final class TensorBoardFile {
    private let file: AppendingFile
    private var lastStep = 0

    /// Begins the folder's file anew, and makes the folder where there is none. `time`: seconds since 1970.
    package init(_ folder: String, time: Double) throws(FileError) {
        try FileSystem.makeFolder(folder)
        file = try AppendingFile("\(folder)/events.out.tfevents.lora-vk")
        try append(Message().double(1, time).bytes(3, Array("brain.Event:2".utf8)))
    }

    /// The lines behind the last that is there. `start`: when the run began, in seconds since 1970.
    package func append(_ run: RunLog, start: Double) throws(FileError) {
        var time = start
        for line in run.lines {
            time += line.numbers.first { $0.key == "seconds" }?.value ?? 0
            guard line.step > lastStep else { continue }
            var summary = Message()
            for number in line.numbers {
                let value = Message().bytes(1, Array(Self.tag(number.key).utf8)).float(2, Float(number.value))
                summary = summary.bytes(1, value.content)
            }
            try append(Message().double(1, time).integer(2, line.step).bytes(5, summary.content))
            lastStep = line.step
        }
    }

    /// As Hugging Face's trainer names them: `train/loss`, `eval/loss`.
    private static func tag(_ key: String) -> String {
        let prefix = "validation_"
        return key.hasPrefix(prefix) ? "eval/\(key.dropFirst(prefix.count))" : "train/\(key)"
    }

    private func append(_ message: Message) throws(FileError) {
        let length = UInt64(message.content.count).littleEndianBytes
        try file.append(
            length + CRC32C.masked(length).littleEndianBytes + message.content
                + CRC32C.masked(message.content).littleEndianBytes)
    }
}

/// Fields of a protocol buffer, in its wire format.
private struct Message {
    private(set) var content: [UInt8] = []

    private func adding(_ field: Int, _ kind: Int, _ bytes: [UInt8]) -> Message {
        var message = self
        message.content += Self.varint(UInt64(field << 3 | kind)) + bytes
        return message
    }

    func integer(_ field: Int, _ value: Int) -> Message {
        adding(field, 0, Self.varint(UInt64(bitPattern: Int64(value))))
    }

    func double(_ field: Int, _ value: Double) -> Message {
        adding(field, 1, value.bitPattern.littleEndianBytes)
    }

    func float(_ field: Int, _ value: Float) -> Message {
        adding(field, 5, value.bitPattern.littleEndianBytes)
    }

    func bytes(_ field: Int, _ value: [UInt8]) -> Message {
        adding(field, 2, Self.varint(UInt64(value.count)) + value)
    }

    /// Seven bits a byte, the lowest first.
    private static func varint(_ value: UInt64) -> [UInt8] {
        var (rest, bytes) = (value, [UInt8]())
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }
}

private enum CRC32C {
    private static let polynomial: UInt32 = 0x82F6_3B78
    private static let table = (0..<256).map { (byte: UInt32) -> UInt32 in
        var value = byte
        for _ in 0..<8 { value = value >> 1 ^ (value & 1 == 1 ? polynomial : 0) }
        return value
    }

    static func masked(_ bytes: [UInt8]) -> UInt32 {
        var sum = ~UInt32(0)
        for byte in bytes { sum = sum >> 8 ^ table[Int(UInt8(truncatingIfNeeded: sum) ^ byte)] }
        sum = ~sum
        return (sum >> 15 | sum << 17) &+ 0xA282_EAD8
    }
}

extension FixedWidthInteger {
    fileprivate var littleEndianBytes: [UInt8] { withUnsafeBytes(of: littleEndian) { Array($0) } }
}
