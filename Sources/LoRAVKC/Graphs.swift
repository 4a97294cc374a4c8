// Graphs of loravk.h: operations recorded once and run as often as wanted.

import CLoRAVK
import Kernels
import VulkanCompute

/// What operations go to between begin and end, inside the context's lock.
final class GraphRecording {
    private let encoder: CommandEncoder
    /// An operation that failed half recorded leaves nothing that could be run.
    private var failure: (any Error)?

    init(_ device: Device) throws { encoder = try CommandEncoder(device) }

    func record(_ body: (CommandEncoder) throws -> Void) throws {
        do { try body(encoder) } catch {
            failure = failure ?? error
            throw error
        }
    }

    func finish() throws -> CommandGraph {
        if let failure {
            throw APIError(LORAVK_ERROR_INVALID_STATE, "an operation of the recording failed: \(failure)")
        }
        return try encoder.finish()
    }
}

final class GraphObject: HandleObject, @unchecked Sendable {
    static let kind = "a graph"
    let context: Context
    let graph: CommandGraph

    init(_ context: Context, _ graph: CommandGraph) { (self.context, self.graph) = (context, graph) }
}

extension Context {
    /// For calls that wait for the device, which a recording cannot.
    func requireNoRecording(_ call: String) throws {
        guard recording == nil else {
            throw APIError(
                LORAVK_ERROR_INVALID_STATE,
                "\(call) cannot be recorded: end the context's recording (loravk_graph_end) first")
        }
    }
}

@c @implementation public func loravk_graph_begin(_ handle: OpaquePointer!) -> loravk_status {
    call {
        let context = try context(handle)
        try context.locked {
            try context.requireNoRecording("another recording")
            context.recording = try GraphRecording(context.device)
        }
    }
}

@c @implementation public func loravk_graph_end(
    _ handle: OpaquePointer!, _ graph: UnsafeMutablePointer<OpaquePointer?>!
) -> loravk_status {
    call {
        let context = try context(handle)
        try context.locked {
            guard let recording = context.recording else {
                throw APIError(
                    LORAVK_ERROR_INVALID_STATE, "the context records nothing: call loravk_graph_begin first")
            }
            context.recording = nil
            let output = try Output(graph, "graph")
            output.give(GraphObject(context, try recording.finish()))
        }
    }
}

@c @implementation public func loravk_graph_run(_ handle: OpaquePointer!) -> loravk_status {
    call {
        let object = try Handles.object(handle, GraphObject.self, "graph")
        try object.context.locked {
            try object.context.requireNoRecording("loravk_graph_run")
            try object.graph.run()
        }
    }
}

@c @implementation public func loravk_graph_release(_ graph: OpaquePointer!) {
    Handles.release(graph, GraphObject.self)
}
