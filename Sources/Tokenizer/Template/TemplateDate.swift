// The date for `strftime_now`, formatted in English whatever the locale.

import Glibc

package struct TemplateDate: Sendable, Equatable, CustomStringConvertible {
    package var year: Int
    package var month: Int
    package var day: Int
    package var hour: Int
    package var minute: Int
    package var second: Int
    /// 0 is Sunday.
    package var weekday: Int
    /// 0 is the first of January.
    package var yearDay: Int

    package init(
        year: Int, month: Int, day: Int, hour: Int, minute: Int, second: Int, weekday: Int, yearDay: Int
    ) {
        (self.year, self.month, self.day) = (year, month, day)
        (self.hour, self.minute, self.second) = (hour, minute, second)
        (self.weekday, self.yearDay) = (weekday, yearDay)
    }

    /// The local time.
    package static func now() -> TemplateDate {
        var seconds = time(nil)
        var parts = tm()
        localtime_r(&seconds, &parts)
        return TemplateDate(parts)
    }

    /// `2026-03-05 14:07:09`, which `init(_:)` reads.
    package var description: String { formatted("%F %T") ?? "" }

    package init?(_ description: String) {
        let parts = description.split { !$0.isNumber }.compactMap { Int32($0) }
        guard parts.count == 6 else { return nil }
        var time = tm()
        (time.tm_year, time.tm_mon, time.tm_mday) = (parts[0] - 1900, parts[1] - 1, parts[2])
        (time.tm_hour, time.tm_min, time.tm_sec) = (parts[3], parts[4], parts[5])
        // Finds the days of week and year.
        guard timegm(&time) != -1 else { return nil }
        self.init(time)
        guard self.description == description else { return nil }
    }

    private init(_ parts: tm) {
        self.init(
            year: Int(parts.tm_year) + 1900, month: Int(parts.tm_mon) + 1, day: Int(parts.tm_mday),
            hour: Int(parts.tm_hour), minute: Int(parts.tm_min), second: Int(parts.tm_sec),
            weekday: Int(parts.tm_wday), yearDay: Int(parts.tm_yday))
    }

    private static let months = [
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
        "November",
        "December",
    ]
    private static let weekdays = [
        "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday",
    ]

    /// nil for a directive that is not known.
    func formatted(_ format: String) -> String? {
        var result = ""
        var isDirective = false
        var pad = true
        for scalar in format.unicodeScalars {
            if !isDirective {
                if scalar == "%" { isDirective = true } else { result.unicodeScalars.append(scalar) }
            } else if scalar == "-", pad {
                pad = false
            } else {
                guard let field = field(scalar, pad) else { return nil }
                result += field
                (isDirective, pad) = (false, true)
            }
        }
        return isDirective ? nil : result
    }

    private func field(_ directive: Unicode.Scalar, _ pad: Bool) -> String? {
        func digits(_ value: Int, _ width: Int) -> String {
            let text = String(value)
            return (pad ? String(repeating: "0", count: max(width - text.count, 0)) : "") + text
        }
        let month = TemplateDate.months[min(max(month, 1), 12) - 1]
        let weekday = TemplateDate.weekdays[min(max(weekday, 0), 6)]
        switch directive {
        case "Y": return String(year)
        case "y": return digits(year % 100, 2)
        case "m": return digits(self.month, 2)
        case "B": return month
        case "b", "h": return String(month.prefix(3))
        case "d": return digits(day, 2)
        case "e": return String(repeating: " ", count: day < 10 && pad ? 1 : 0) + String(day)
        case "A": return weekday
        case "a": return String(weekday.prefix(3))
        case "j": return digits(yearDay + 1, 3)
        case "H": return digits(hour, 2)
        case "I": return digits((hour + 11) % 12 + 1, 2)
        case "M": return digits(minute, 2)
        case "S": return digits(second, 2)
        case "p": return hour < 12 ? "AM" : "PM"
        case "F": return "\(digits(year, 4))-\(digits(self.month, 2))-\(digits(day, 2))"
        case "T": return "\(digits(hour, 2)):\(digits(minute, 2)):\(digits(second, 2))"
        case "%": return "%"
        default: return nil
        }
    }
}
