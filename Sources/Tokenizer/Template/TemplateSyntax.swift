// The syntax tree of a template.

struct TemplateExpression: Sendable {
    indirect enum Kind: Sendable {
        case none
        case bool(Bool)
        case integer(Int)
        case float(Double)
        case string(String)
        case name(String)
        case list([TemplateExpression])
        case tuple([TemplateExpression])
        case dictionary([(key: TemplateExpression, value: TemplateExpression)])
        case attribute(TemplateExpression, String)
        case item(TemplateExpression, TemplateExpression)
        case slice(
            TemplateExpression, start: TemplateExpression?, stop: TemplateExpression?,
            step: TemplateExpression?)
        case call(TemplateExpression, TemplateArguments)
        case filter(TemplateExpression?, String, TemplateArguments)
        case test(TemplateExpression, String, TemplateArguments)
        case not(TemplateExpression)
        case negative(TemplateExpression)
        case positive(TemplateExpression)
        case arithmetic(Operator, TemplateExpression, TemplateExpression)
        case concatenation([TemplateExpression])
        case all([TemplateExpression])
        case any([TemplateExpression])
        /// a < b < c
        case comparison(TemplateExpression, [(Comparison, TemplateExpression)])
        case conditional(TemplateExpression, then: TemplateExpression, otherwise: TemplateExpression?)
    }

    enum Operator: String, Sendable {
        case add = "+"
        case subtract = "-"
        case multiply = "*"
        case divide = "/"
        case floorDivide = "//"
        case modulo = "%"
        case power = "**"
    }

    enum Comparison: String, Sendable {
        case equal = "=="
        case notEqual = "!="
        case less = "<"
        case lessOrEqual = "<="
        case greater = ">"
        case greaterOrEqual = ">="
        case contained = "in"
        case notContained = "not in"
    }

    let kind: Kind
    /// Levels of the tree, capped by the parser: releasing and evaluating it recurse.
    let height: Int
}

struct TemplateArguments: Sendable {
    var positional: [TemplateExpression] = []
    var named: [(name: String, value: TemplateExpression)] = []
    /// `*list` and `**mapping`, whose elements follow.
    var spread: TemplateExpression?
    var namedSpread: TemplateExpression?

    var isEmpty: Bool { positional.isEmpty && named.isEmpty && spread == nil && namedSpread == nil }
    var height: Int {
        (positional + named.map(\.value) + [spread, namedSpread].compactMap(\.self)).map(\.height).max() ?? 0
    }
}

struct TemplateStatement: Sendable {
    indirect enum Kind: Sendable {
        case text(String)
        case output(TemplateExpression)
        case conditional(
            [(condition: TemplateExpression, body: [TemplateStatement])], otherwise: [TemplateStatement])
        case loop(
            targets: [TemplateTarget], over: TemplateExpression, filter: TemplateExpression?,
            body: [TemplateStatement],
            otherwise: [TemplateStatement])
        case set([TemplateTarget], TemplateExpression)
        /// `{% set name | filters %}body{% endset %}`
        case setBlock(String, filters: [TemplateExpression], [TemplateStatement])
        case filterBlock([TemplateExpression], [TemplateStatement])
        case macro(TemplateMacro)
        /// `{% call(parameters) macro(arguments) %}body{% endcall %}`
        case call(TemplateMacro, TemplateExpression)
        /// `{% with name = value %}body{% endwith %}`
        case with([(name: String, value: TemplateExpression)], [TemplateStatement])
        case breakLoop
        case continueLoop
        /// `{% generation %}`, which marks what the model wrote and changes no text.
        case generation([TemplateStatement])
    }

    let kind: Kind
    let line: Int
}

/// What a value is given to.
enum TemplateTarget: Sendable {
    case name(String)
    /// An attribute of a namespace.
    case attribute(String, String)
    case several([TemplateTarget])
}

struct TemplateMacro: Sendable {
    let name: String
    typealias Parameter = (name: String, standard: TemplateExpression?)

    let parameters: [Parameter]
    let body: [TemplateStatement]
}
