// The Jinja template that comes with a model and writes a chat as the text that the model was trained on. The
// interpreter is a safe subset: no attribute reaches anything but the values given, and work, output and
// nesting are capped.

import Checkpoints

package struct ChatTemplate: Sendable {
    /// Longer templates are refused.
    static let maximumBytes = 1 << 20

    /// `{% generation %}` marks say what the model writes.
    package let marksGeneration: Bool
    private let body: [TemplateStatement]

    package init(_ source: String) throws(FileError) {
        try ChatTemplate.checkSize(source.utf8.count, "chat template")
        (body, marksGeneration) = try TemplateParser.parse(source)
    }

    static func checkSize(_ bytes: Int, _ path: String) throws(FileError) {
        guard bytes <= maximumBytes else {
            throw FileError(path, "has \(bytes) bytes, the limit is \(maximumBytes)")
        }
    }

    /// With any variables; `now` is the date for templates that ask for it.
    package func render(_ variables: JSON.Object, now: TemplateDate) throws(FileError) -> String {
        try trace(variables, now: now).text
    }

    package func trace(_ variables: JSON.Object, now: TemplateDate) throws(FileError) -> TemplateTrace {
        var values: [String: TemplateValue] = [:]
        for member in variables.members { values[member.key] = TemplateValue(member.value) }
        var evaluator = TemplateEvaluator(variables: values, limits: TemplateLimits(), now: now)
        return try evaluator.render(body)
    }
}
