// The head that transformers' AutoModelForSequenceClassification puts on a decoder: scores = h·Wᵀ of the normed last hidden state
// h of a sequence's last token, W (K, C) `score.weight`. PEFT saves W whole beside the adapter (modules_to_save), with the task
// type SEQ_CLS. What the K outputs mean stands in the metadata of the weights' file, under transformers' names.

package struct ScoreHead: Sendable, Equatable {
    /// transformers' `problem_type`
    package enum Problem: String, Sendable, CaseIterable {
        /// One of K classes.
        case single = "single_label_classification"
        /// Each of K labels is meant or not.
        case multi = "multi_label_classification"
        /// K numbers.
        case regression
    }

    /// nil: nobody said it. PEFT does not save it.
    package var problem: Problem?
    /// Of the outputs: transformers' `id2label`.
    package private(set) var names: [String]

    package var outputs: Int { names.count }

    package init(_ problem: Problem?, names: [String]) { (self.problem, self.names) = (problem, names) }

    /// With transformers' names for labels that have none.
    package init(_ problem: Problem?, outputs: Int) {
        self.init(problem, names: Self.numbered(0..<outputs))
    }

    /// A row of the head's kernel runs over all outputs.
    package static let mostOutputs = 4096
    package static let module = "score"
    package static let tensorName = "score.weight"
    package static let taskType = "SEQ_CLS"
    /// PEFT names both for the task type, whichever of them the model has.
    static let modules: Set = ["classifier", "score"]
    private static let (namesKey, problemKey) = ("id2label", "problem_type")

    package static func numbered(_ range: Range<Int>) -> [String] { range.map { "LABEL_\($0)" } }

    /// For the metadata of the weights' file, which PEFT does not read.
    package var metadata: [String: String] {
        var object = JSON.Object()
        for (index, name) in names.enumerated() { object[String(index)] = .string(name) }
        var metadata = [Self.namesKey: JSON.object(object).text(.compact)]
        if let problem { metadata[Self.problemKey] = problem.rawValue }
        return metadata
    }

    /// What a file says of its head of `outputs` outputs.
    init(_ metadata: [String: String], outputs: Int, path: String) throws(FileError) {
        problem = try metadata[Self.problemKey].map { (text) throws(FileError) in
            guard let problem = Problem(rawValue: text) else {
                throw FileError(
                    path,
                    "has the \(Self.problemKey) '\(text.shortened)', expected one of "
                        + Problem.allCases.map(\.rawValue).joined(separator: ", "))
            }
            return problem
        }
        names = Self.numbered(0..<outputs)
        guard let text = metadata[Self.namesKey] else { return }
        let place = "\(path): \(Self.namesKey)"
        let fields = try JSONFields(JSON.parse(Array(text.utf8), path: place), path: place)
        guard fields.object.count == outputs else {
            throw FileError(place, "has \(fields.object.count) names, and the head has \(outputs) outputs")
        }
        for index in 0..<outputs { names[index] = try fields.string(String(index)) }
    }
}
