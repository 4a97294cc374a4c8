// y = x·Wᵀ (+ h·Bᵀ) for a few rows of x and a frozen weight W (out, in), as in generation: what costs is unpacking W. A lane
// owns GROUPS runs of 4 outputs.
#version 450
//! variants FAMILY = TEXEL SUBGROUP
//! variants WEIGHT = F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_GOOGLE_include_directive : require
#define WEIGHT_BINDING 5
#include "lib/load.glsl"
#include "lib/weight_blocks.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;
layout(constant_id = 1) const uint ROWS = 1;
layout(constant_id = 2) const uint GROUPS = 2;
layout(constant_id = 3) const bool ACCUMULATE = false;  // y += instead of y =

layout(push_constant) uniform Push {
    uint groupBase;
    uint M, N, K, R;
    uint xStride, yStride, yOffset;  // in runs of four floats
} push;

OUTPUT4(0, y);
INPUT4(1, oldY);     // what is added to: y once more, or another tensor
INPUT4(2, x);        // (M, K)
INPUT4(3, h);        // (M, R)
INPUT4(4, adapter);  // (N, R)

vec4 input4(uint m, uint k4) { return LOAD4(x, min(m, push.M - 1) * push.xStride + k4); }

#include "matmul/matvec.glsl"

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase, N4 = push.N / 4, R4 = push.R / 4;
    uint band = group * LANES * GROUPS + gl_SubgroupInvocationID;
    uint bands[GROUPS];
    EACH(g, GROUPS) bands[g] = min(band + g * LANES, N4 - 1);
    multiply(bands, push.K / 4);

    for (uint r4 = 0; r4 < R4; r4++) {
        vec4 four[ROWS];
        EACH(m, ROWS) four[m] = LOAD4(h, min(m, push.M - 1) * R4 + r4);
        EACH(g, GROUPS) EACH(r, 4) {
            vec4 row = LOAD4(adapter, (bands[g] * 4 + r) * R4 + r4);
            EACH(m, ROWS) c[m][g][r] += dot(row, four[m]);
        }
    }

    EACH(m, ROWS) EACH(g, GROUPS) {
        uint at = m * push.yStride + push.yOffset + bands[g];
        if (m < push.M && band + g * LANES < N4) STORE4(y, at, ACCUMULATE ? LOAD4(oldY, at) + c[m][g] : c[m][g]);
    }
}
