// The axes along which shaders come in variants (`//! variants NAME = A B C`): one enum an axis, its cases the
// values in lower case. The generated functions take them: Shader.layerNorm(family: .texel).

import VulkanCompute

extension Shader {
    /// How a kernel reads memory and reduces over lanes.
    package enum Family: String, CaseIterable, Sendable {
        /// Formatted loads and subgroup operations, one subgroup a workgroup: fast on CPU devices.
        case texel
        /// The same with storage buffers, for devices with few texels.
        case subgroup
        /// Storage buffers and shared memory: any device, any subgroup size.
        case shared
    }

    /// How a frozen weight is stored on the device.
    package enum Weight: String, CaseIterable, Sendable {
        case f32, f16, bf16, q8_0, q4_0, q4_1, q4_k, q5_k, q6_k
        /// Of experts alone.
        case mxfp4

        /// Those of matrices that all tokens use.
        package static let ofLayers = allCases.filter { $0 != .mxfp4 }
    }
}

extension Capabilities {
    /// True where kernels of this family run correctly.
    package func supports(_ family: Shader.Family) -> Bool {
        // A workgroup of these families must be exactly one subgroup; only CPU drivers run them so unasked.
        let oneSubgroup = type == .cpu && subgroupShuffle && subgroupArithmetic && subgroupSize >= 4
        switch family {
        case .texel: return oneSubgroup && texelBuffers && int64 && !wideTexelsFail
        case .subgroup: return oneSubgroup
        case .shared: return true
        }
    }

    /// The family this device runs fastest, as measured or by rule, unless LORAVK_FAMILY names another that it can run.
    package var family: Shader.Family {
        if usesMatrixUnits { return .shared }
        if let family = chosenName.flatMap(Shader.Family.init) { return family }
        // A device with few texels could not bind the activations of a real model.
        if supports(.texel), maxTexelBufferElements >= 1 << 22 { return .texel }
        return supports(.subgroup) ? .subgroup : .shared
    }

    /// What of the choice of kernels changes the last bits of results.
    package var arithmetic: String {
        "\(usesMatrixUnits ? Self.matrixUnits : family.rawValue), "
            + (KernelSelection.sumsSteps(self) ? "sums of steps" : "one running sum")
            + (usesHostProducts ? ", large products by the host" + (HostProduct.fuses ? ", fused" : "") : "")
    }

    /// The name of what the device uses, as LORAVK_FAMILY has it.
    package var familyName: String {
        usesMatrixUnits ? Self.matrixUnits : usesHostProducts ? Self.hostProducts : family.rawValue
    }
    /// All names that this device can be told.
    package var familyNames: [String] {
        Shader.Family.allCases.filter(supports).map(\.rawValue)
            + (canUseMatrixUnits ? [Self.matrixUnits] : [])
            + (sharesHostMemory ? [Self.hostProducts] : [])
    }

    /// Whether the host computes large products: the family of the rule with another kernel for them. It does unless a family is named.
    package var usesHostProducts: Bool { sharesHostMemory && [nil, Self.hostProducts].contains(chosenName) }
    package static let hostProducts = "host"

    /// Whether large products of frozen weights run on the matrix units: the family `shared` with other kernels for them.
    /// Only where measuring found them right and faster, or LORAVK_FAMILY asks for it.
    package var usesMatrixUnits: Bool { chosenName == Self.matrixUnits }
    package static let matrixUnits = "cooperative"

    private var chosenName: String? {
        [DebugOptions.environment.family, tuning.family].compactMap { $0 }.first { name in
            familyNames.contains(name)
        }
    }

    package var canUseMatrixUnits: Bool {
        // Mesa's software driver, with 16 lanes, crashes in such kernels.
        cooperativeMatrix != nil && subgroupArithmetic && (type != .cpu || subgroupSize <= 8)
            && min(maxWorkgroupInvocations, maxWorkgroupSize) >= subgroupSize && maxSharedMemory >= 26 << 10
    }

    /// The width of a workgroup that works on one row: a subgroup, or what suits most GPUs.
    package func lanes(_ family: Shader.Family) -> Int {
        family == .shared ? min(64, maxWorkgroupInvocations) : subgroupSize
    }
}

extension CommandEncoder {
    /// A test or benchmark that names a family gets its kernels and no others.
    var usesMatrixUnits: Bool { forcedFamily == nil && capabilities.usesMatrixUnits }

    func takesOnHost(_ product: MatmulProduct) -> Bool {
        forcedFamily == nil && HostProduct.takes(rows: product.m, flops: product.flops, capabilities)
    }

    /// The family that this encoder's launchers use.
    package var family: Shader.Family {
        get { forcedFamily.flatMap(Shader.Family.init) ?? capabilities.family }
        set { forcedFamily = newValue.rawValue }
    }
}
