/// What is minimised, as a function of the log-probabilities of the learned tokens: any function whose derivative the program can state.
public protocol Objective {
    /// The loss of a batch, and its derivative by each log-probability. `logProbabilities` has an array an example, a number a
    /// learned token in order; so has the derivative.
    func evaluate(_ logProbabilities: [[Double]], of examples: [Example]) throws -> (
        loss: Double, derivative: [[Double]]
    )
}
