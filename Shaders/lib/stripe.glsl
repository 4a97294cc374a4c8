// Elementwise kernels: a workgroup handles LANES·VECTORS consecutive vec4, each invocation every LANES-th of them, so that
// one workgroup has enough to do on a CPU (where starting one costs as much as a few loads).
#extension GL_EXT_control_flow_attributes : require

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint VECTORS = 8;

#define FOR_EACH4(i, group, count)                                                                    \
    [[unroll]] for (uint turn = 0, i = (group) * LANES * VECTORS + gl_LocalInvocationID.x; turn < VECTORS; \
                    ++turn, i += LANES)                                                               \
        if (i < (count))
