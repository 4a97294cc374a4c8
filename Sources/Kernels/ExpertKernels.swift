// Mixtures of experts: which experts a token goes to, and the tokens sorted by them, on the device. A choice of an expert by a token is a
// slot; slots lie expert by expert, each at its place, so that an expert's weights meet all rows of theirs. Sorting is by
// counting and sums run in the order of slots: no atomics, the same bits each time. Whatever the routing, sizes are the same.

import VulkanCompute

/// How tokens are routed: to `used` of `experts`, by the softmax of their logits, or where `renormalises` of those of the chosen alone.
package struct ExpertRouting: Sendable, Equatable {
    package let experts: Int  // E
    package let used: Int  // k
    package let renormalises: Bool

    package init(experts: Int, used: Int, renormalises: Bool) {
        precondition(
            0 < used && used <= experts && experts <= Self.mostExperts, "\(used) of \(experts) experts")
        (self.experts, self.used, self.renormalises) = (experts, used, renormalises)
    }

    /// Shared memory holds a few words of each.
    package static let mostExperts = 1024
}

/// Of N tokens, S = N·k slots.
package struct ExpertSlots: Sendable {
    package let experts: Tensor  // (N, k) of ints
    package let scores: Tensor  // (N, k)
    package let order: Tensor  // (S) of ints: the slot at each place
    package let places: Tensor  // (S) of ints: the place of each slot
    package let tiles: Tensor  // (tiles, 4) of ints: expert, first place, end
    /// Places of a tile.
    let tileRows: Int

    /// `take` gives memory for a shape of floats or ints.
    package init(
        _ routing: ExpertRouting, tokens: Int, _ capabilities: Capabilities, _ family: Shader.Family,
        take: ([Int], DType) throws -> Tensor
    ) rethrows {
        let slots = tokens * routing.used
        tileRows =
            tokens == 1
            ? 1 : KernelSelection.expertRows(slots: slots, routing.experts, family, capabilities)
        // Each expert has at most one tile that is not full.
        let most = (slots + (tileRows - 1) * min(routing.experts, slots)) / tileRows
        experts = try take([tokens, routing.used], .i32)
        scores = try take([tokens, routing.used], .f32)
        order = try take([slots], .i32)
        places = try take([slots], .i32)
        tiles = try take([most, 4], .i32)
    }

    package var tensors: [Tensor] { [experts, scores, order, places, tiles] }
    package var count: Int { order.count }  // S
    var tokens: Int { experts.rows }
    var used: Int { experts.width }

    /// Of counts that the sort needs while it runs.
    package func scratchShape(_ routing: ExpertRouting) -> [Int] {
        [(count + CommandEncoder.slotBlock - 1) / CommandEncoder.slotBlock, routing.experts]
    }
}

extension CommandEncoder {
    static let slotBlock = 256
    private var routeLanes: Int { min(64, capabilities.maxWorkgroupInvocations) }

    /// Routes tokens by their `logits` (N, ≥ E) and sorts the slots. `scratch` has the slots' `scratchShape`.
    package func route(
        into slots: ExpertSlots, _ logits: Tensor, _ routing: ExpertRouting, scratch: Tensor,
        label: String = "router"
    ) throws(VulkanError) {
        precondition(
            logits.rows == slots.tokens && logits.width >= routing.experts && slots.used == routing.used
                && scratch.count >= slots.scratchShape(routing).reduce(1, *),
            "\(label): \(logits.shape) for \(slots.experts.shape)")
        try eachToken(
            Shader.route(), [slots.experts, slots.scores, logits], logits, routing, label: "\(label) choice")
        let lanes = routeLanes
        guard slots.tokens > 1 else {
            return try dispatch(
                Shader.groupFew(), [slots.order, slots.places, slots.tiles, slots.experts].map(\.slice),
                push: [slots.count], specialization: ["LANES": UInt32(lanes)],
                groups: (slots.count + lanes - 1) / lanes, label: "\(label) groups")
        }
        let blocks = scratch.shape[0]
        let constants = ["LANES": UInt32(lanes), "BLOCK": UInt32(Self.slotBlock)]
        let groups = (blocks * routing.experts + lanes - 1) / lanes
        let push: [any PushWord] = [slots.count, routing.experts, blocks]
        try dispatch(
            Shader.groupSlots(step: .count), [slots.experts, scratch].map(\.slice), push: push,
            specialization: constants, groups: groups, label: "\(label) counts")
        try dispatch(
            Shader.groupStarts(), [scratch, slots.tiles].map(\.slice),
            push: [blocks, slots.tiles.rows, slots.tileRows],
            specialization: ["LANES": UInt32(lanes), "EXPERTS": UInt32(routing.experts)], groups: 1,
            label: "\(label) starts")
        try dispatch(
            Shader.groupSlots(step: .place),
            [slots.experts, scratch, slots.order, slots.places].map(\.slice), push: push,
            specialization: constants, groups: groups, label: "\(label) places")
    }

    /// `dlogits` (N, ≥ E), zero behind the experts, from `dscores` (N, k).
    package func routeBackward(
        into dlogits: Tensor, _ dscores: Tensor, logits: Tensor, _ slots: ExpertSlots,
        _ routing: ExpertRouting, label: String = "router dx"
    ) throws(VulkanError) {
        precondition(
            dlogits.shape == logits.shape && dscores.count == slots.count,
            "\(label): \(dscores.shape) to \(dlogits.shape)")
        try eachToken(
            Shader.routeBackward(), [dlogits, dscores, slots.scores, slots.experts, logits], logits, routing,
            label: label)
    }

    private func eachToken(
        _ shader: Shader, _ tensors: [Tensor], _ logits: Tensor, _ routing: ExpertRouting, label: String
    ) throws(VulkanError) {
        let lanes = routeLanes
        try dispatch(
            shader, tensors.map(\.slice), push: [logits.rows, routing.experts, routing.used, logits.width],
            specialization: ["LANES": UInt32(lanes), "RENORMALISED": routing.renormalises ? 1 : 0],
            groups: (logits.rows + lanes - 1) / lanes, label: label)
    }

    /// y (N, C) = Σ over a token's slots of x (S, C) at their places, weighted by their scores or not.
    package func combine(
        into y: Tensor, _ x: Tensor, _ slots: ExpertSlots, isWeighted: Bool, label: String = "combine"
    ) throws(VulkanError) {
        let width4 = y.width / 4
        precondition(
            y.width % 4 == 0 && y.rows == slots.tokens && x.shape == [slots.count, y.width]
                && [x, y].allSatisfy { $0.pitch == $0.width },
            "\(label): \(x.shape) to \(y.shape)")
        let family = family == .texel ? Shader.Family.texel : .shared
        let stripe = stripe
        for span in capabilities.spans(of: y.rows, rowByteCounts: [y.width * 4], family: self.family) {
            for places in capabilities.spans(of: x.rows, rowByteCounts: [x.width * 4], family: self.family) {
                let (part, count) = (y.rows(span), span.count * width4)
                try dispatch(
                    Shader.combineExperts(family: family),
                    [part, part, x.rows(places), slots.places, slots.scores].map(\.slice),
                    push: [count, width4, slots.used, span.lowerBound, places.lowerBound, places.count],
                    specialization: stripe.constants.merging([
                        "WEIGHTED": isWeighted ? 1 : 0, "ACCUMULATE": places.lowerBound > 0 ? 1 : 0,
                    ]) { $1 },
                    groups: stripe.groups(count), label: label)
            }
        }
    }

    /// Backward of a = f(gate)·up of each place (S, F), where the sum over a token's slots weighs it: from `da`, the gradient but for
    /// the score, that of the scores (S, by slot), and of gate and up in their places.
    package func expertActivationBackward(
        _ function: Shader.Activation, intoScores dscores: Tensor, inPlaceOf gate: Tensor, _ up: Tensor,
        _ da: Tensor, _ slots: ExpertSlots, label: String = "experts' activation dx"
    ) throws(VulkanError) {
        let width = gate.width
        precondition(
            width % 4 == 0 && dscores.count == slots.count
                && [gate, up, da].allSatisfy { $0.shape == [slots.count, width] && $0.pitch == width },
            "\(label): \(da.shape) to \(gate.shape) and \(up.shape)")
        let constants = rowLanes.merging(["ACTIVATION": function.rawValue]) { $1 }
        for span in capabilities.spans(of: slots.count, rowByteCounts: [width * 4], family: family) {
            let (gate, up, da) = (gate.rows(span), up.rows(span), da.rows(span))
            try dispatch(
                Shader.expertActivationBackward(family: family),
                [gate, up, dscores, da, gate, up, slots.scores, slots.order].map(\.slice),
                push: [width / 4, span.lowerBound], specialization: constants, groups: span.count,
                label: label)
        }
    }
}

extension Shader {
    /// Of the sort of slots.
    package enum Step: String, Sendable { case count, place }
}
