// Runs a template. Work, output and nesting are counted and capped: a template comes with a model, and a hostile one
// must neither hang, nor fill the memory, nor overflow the stack.

import Checkpoints

struct TemplateLimits: Sendable {
    /// One for each node of the tree that is visited, each element and each four bytes of text that are made.
    var steps = 4_000_000
    /// So many more for each byte that the template is given.
    var stepsPerInputByte = 4
    var outputBytes = 1 << 26
    /// Nesting while running: blocks, expressions and macro calls together.
    var depth = 250
    /// Elements of `range`, as Jinja's sandbox has it.
    var rangeCount = 100_000
}

struct TemplateEvaluator {
    enum Flow {
        case next, breakLoop, continueLoop
    }

    let limits: TemplateLimits
    let now: TemplateDate
    private(set) var line = 1
    var scopes: [[String: TemplateValue]]
    private var output: [UInt8] = []
    /// Texts being captured around `output`, and their bytes: the main text is the outermost.
    private var captures = 0
    private var outerBytes = 0
    private var budget: Int
    var depth = 0
    private var loopDepth = 0
    var recorder: TemplateRecorder
    var readsDate = false

    /// So many steps go by between two looks whether a stop was asked for.
    private static let stepsUnwatched = 1 << 16
    static let functions = ["range", "namespace", "dict", "raise_exception", "strftime_now"]

    init(variables: [String: TemplateValue], limits: TemplateLimits, now: TemplateDate) {
        self.limits = limits
        budget = limits.steps
        self.now = now
        recorder = TemplateRecorder(messages: variables["messages"])
        var globals = variables
        for name in TemplateEvaluator.functions where globals[name] == nil { globals[name] = .function(name) }
        scopes = [globals]
        for value in variables.values {
            let (product, overflow) = value.weight.multipliedReportingOverflow(by: limits.stepsPerInputByte)
            budget = overflow ? .max : max(budget, budget &+ product)
        }
    }

    mutating func render(_ template: [TemplateStatement]) throws(FileError) -> TemplateTrace {
        try run(template)
        return recorder.trace(of: output, readsDate: readsDate)
    }

    // MARK: Statements

    @discardableResult
    mutating func run(_ statements: [TemplateStatement]) throws(FileError) -> Flow {
        try enter()
        defer { depth -= 1 }
        for statement in statements {
            line = statement.line
            let flow = try run(statement)
            if flow != .next { return flow }
        }
        return .next
    }

    mutating func run(_ statement: TemplateStatement) throws(FileError) -> Flow {
        try charge(1)
        switch statement.kind {
        case .text(let text):
            try charge(bytes: text.utf8.count)
            try write(text)
        case .output(let expression): try write(try text(try evaluate(expression)))
        case .conditional(let branches, let otherwise):
            for branch in branches where try evaluate(branch.condition).isTrue { return try run(branch.body) }
            return try run(otherwise)
        case .loop(let targets, let sequence, let filter, let body, let otherwise):
            return try loop(targets, sequence, filter, body, otherwise)
        case .set(let targets, let expression): try assign(targets, try evaluate(expression))
        case .setBlock(let name, let filters, let body):
            let text = try captured { (evaluator) throws(FileError) in try evaluator.runScoped(body) }
            try assign([.name(name)], try applied(filters, to: .string(text)))
        case .filterBlock(let filters, let body):
            let text = try captured { (evaluator) throws(FileError) in try evaluator.runScoped(body) }
            try write(try self.text(try applied(filters, to: .string(text))))
        case .macro(let macro): scopes[scopes.count - 1][macro.name] = .macro(macro)
        case .call(let body, let call):
            let value = try evaluateCall(call, caller: TemplateCaller(body, scopes: scopes))
            try write(try text(value))
        case .with(let members, let body):
            var scope: [String: TemplateValue] = [:]
            for (name, value) in members { scope[name] = try evaluate(value) }
            try runScoped(body, scope)
        case .breakLoop: return .breakLoop
        case .continueLoop: return .continueLoop
        case .generation(let body):
            let start = output.count
            try runScoped(body)
            // A captured mark is kept to be looked for.
            if captures > 0 { try charge(bytes: output.count - start) }
            recorder.addGenerated(output[start...], at: outerBytes + start, isCaptured: captures > 0)
        }
        return .next
    }

    mutating func runScoped(
        _ body: [TemplateStatement], _ scope: [String: TemplateValue] = [:]
    ) throws(FileError) {
        scopes.append(scope)
        try run(body)
        scopes.removeLast()
    }

    mutating func loop(
        _ targets: [TemplateTarget], _ sequence: TemplateExpression, _ filter: TemplateExpression?,
        _ body: [TemplateStatement], _ otherwise: [TemplateStatement]
    ) throws(FileError) -> Flow {
        var elements = try elements(of: try evaluate(sequence))
        if let filter {
            var kept: [TemplateValue] = []
            for element in elements {
                scopes.append([:])
                try assign(targets, element)
                if try evaluate(filter).isTrue { kept.append(element) }
                scopes.removeLast()
            }
            elements = kept
        }
        if elements.isEmpty { return try run(otherwise) }
        let list = TemplateList(elements)
        let memory = TemplateLoop.Memory()
        loopDepth += 1
        defer { loopDepth -= 1 }
        for (index, element) in elements.enumerated() {
            try charge(1)
            let loop = TemplateLoop(elements: list, index: index, depth: loopDepth, memory: memory)
            scopes.append(["loop": .loop(loop)])
            try assign(targets, element)
            let isRecorded = captures == 0 && recorder.begin(element, at: output.count)
            let flow = try run(body)
            if isRecorded { recorder.end(at: output.count) }
            scopes.removeLast()
            if flow == .breakLoop { break }
        }
        return .next
    }

    mutating func assign(_ targets: [TemplateTarget], _ value: TemplateValue) throws(FileError) {
        if targets.count == 1 { return try assign(targets[0], value) }
        let parts = try elements(of: value)
        guard parts.count == targets.count else {
            throw wrong("\(parts.count) values cannot be given to \(targets.count) names")
        }
        for (target, part) in zip(targets, parts) { try assign(target, part) }
    }

    mutating func assign(_ target: TemplateTarget, _ value: TemplateValue) throws(FileError) {
        switch target {
        case .name(let name): scopes[scopes.count - 1][name] = value
        case .attribute(let name, let attribute):
            guard case .namespace(let namespace) = lookUp(name) else {
                throw wrong("'\(name)' is \(lookUp(name).summary), only a namespace has attributes to set")
            }
            namespace.members[ExactString(attribute)] = try storable(value)
        case .several(let targets): try assign(targets, value)
        }
    }

    /// What a body writes, as a value instead.
    mutating func captured(
        _ body: (inout TemplateEvaluator) throws(FileError) -> Void
    ) throws(FileError) -> String {
        let outer = output
        output = []
        captures += 1
        outerBytes += outer.count
        try body(&self)
        let text = String(decoding: output, as: UTF8.self)
        output = outer
        captures -= 1
        outerBytes -= outer.count
        return text
    }

    /// `scopes`: what the body of a call block sees; a macro sees the names of the whole template.
    mutating func call(
        _ macro: TemplateMacro, _ arguments: TemplateCall, caller: TemplateCaller? = nil,
        scopes visible: [[String: TemplateValue]]? = nil
    ) throws(FileError) -> TemplateValue {
        guard arguments.positional.count <= macro.parameters.count else {
            throw wrong("the macro \(macro.name) takes \(macro.parameters.count) arguments")
        }
        for (name, _) in arguments.named where !macro.parameters.contains(where: { $0.name == name }) {
            throw wrong("the macro \(macro.name) has no parameter '\(name)'")
        }
        let outer = scopes
        scopes = (visible ?? [outer[0]]) + [[:]]
        let own = scopes.count - 1
        if let caller { scopes[own]["caller"] = .caller(caller) }
        for (index, parameter) in macro.parameters.enumerated() {
            var value = TemplateValue.undefined(parameter.name)
            if index < arguments.positional.count {
                value = arguments.positional[index]
            } else if let named = arguments.named.first(where: { $0.name == parameter.name }) {
                value = named.value
            } else if let standard = parameter.standard {
                value = try evaluate(standard)
            }
            scopes[own][parameter.name] = value
        }
        let text = try captured { (evaluator) throws(FileError) in try evaluator.run(macro.body) }
        scopes = outer
        return .string(text)
    }

    // MARK: Limits

    mutating func charge(_ count: Int) throws(FileError) {
        let (rest, overflow) = budget.subtractingReportingOverflow(count)
        guard !overflow, rest >= 0 else {
            throw wrong("the template takes too many steps", remedy: "does it loop without end?")
        }
        if budget / Self.stepsUnwatched != rest / Self.stepsUnwatched {
            try Interruption.check("the chat template")
        }
        budget = rest
    }

    mutating func enter() throws(FileError) {
        depth += 1
        guard depth <= limits.depth else {
            throw wrong("the template runs nested deeper than \(limits.depth) levels")
        }
    }

    mutating func write(_ text: String) throws(FileError) {
        output.append(contentsOf: text.utf8)
        guard output.count <= limits.outputBytes else {
            throw wrong("the template writes more than \(limits.outputBytes) bytes")
        }
    }

    /// The text of a value. What it costs is paid first, here and below, so that nothing doubles for ever.
    mutating func text(_ value: TemplateValue) throws(FileError) -> String {
        try charge(bytes: value.weight)
        return value.text
    }

    mutating func charge(bytes: Int) throws(FileError) { try charge(bytes / 4) }

    mutating func list(_ elements: [TemplateValue], isTuple: Bool = false) throws(FileError) -> TemplateValue
    {
        try charge(elements.count)
        for element in elements { _ = try storable(element) }
        return .list(TemplateList(elements, isTuple: isTuple))
    }

    mutating func dictionary(_ members: [TemplateDictionary.Member]) throws(FileError) -> TemplateValue {
        for member in members {
            try charge(bytes: 4 + member.key.value.weight)
            _ = try storable(member.value)
        }
        return .dictionary(TemplateDictionary(members))
    }

    /// The value, where it may lie inside of another.
    func storable(_ value: TemplateValue) throws(FileError) -> TemplateValue {
        switch value {
        case .namespace, .loop, .caller: throw wrong("\(value.summary) cannot be stored in another value")
        default:
            guard value.depth < TemplateValue.maximumDepth else {
                throw wrong("values are nested deeper than \(TemplateValue.maximumDepth) levels")
            }
            return value
        }
    }

    func wrong(_ message: String, remedy: String? = nil) -> FileError {
        FileError.template(line, message, remedy: remedy)
    }
}

/// The values given to a filter, a test, a function or a macro.
struct TemplateCall {
    var positional: [TemplateValue] = []
    var named: [(name: String, value: TemplateValue)] = []

    /// An argument by its place or its name.
    func argument(_ index: Int, _ name: String) -> TemplateValue? {
        index < positional.count ? positional[index] : named.first { $0.name == name }?.value
    }
}
