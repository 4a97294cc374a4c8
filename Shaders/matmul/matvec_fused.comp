// One row through a frozen weight with all that stands around it, where starting a kernel costs as much as its work:
//   y (+)= n·Wᵀ + s·(n·Aᵀ)·Bᵀ, n = x or rms(x)      GATED, W two weights in one: y = f(gate)·up of their halves
// Every workgroup norms x and projects it to the adapter's rank for itself. A second adapter is that of the half `up`.
#version 450
//! variants FAMILY = TEXEL SUBGROUP
//! variants WEIGHT = F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_shuffle : require
#extension GL_GOOGLE_include_directive : require
#define WEIGHT_BINDING 8
#include "lib/load.glsl"
#include "lib/reduce.glsl"
#include "lib/activation.glsl"
#include "lib/weight_blocks.glsl"

layout(constant_id = 1) const uint GROUPS = 2;          // GATED: 2
layout(constant_id = 2) const bool ACCUMULATE = false;  // y = oldY + instead of y =
layout(constant_id = 3) const bool NORMED = false;
layout(constant_id = 4) const bool GATED = false;
const uint ROWS = 1;

layout(push_constant) uniform Push {
    uint groupBase;
    uint N, K;           // N: outputs of W
    uint R, upR;
    float scaling, upScaling;
    float epsilon;
} push;

OUTPUT4(0, y);
INPUT4(1, oldY);   // y itself, or a bias
INPUT4(2, x);      // (K)
INPUT4(3, norm);   // (K)
INPUT4(4, loraA);  // (R, K)
INPUT4(5, loraB);  // (N, R)
INPUT4(6, upA);
INPUT4(7, upB);

vec4 input4(uint m, uint k4) { return NORMED ? LOAD4(x, k4) * LOAD4(norm, k4) : LOAD4(x, k4); }

#include "matmul/matvec.glsl"

// Adds s·(n·Aᵀ)·Bᵀ to the runs `first` to `end`, four ranks at a time; B's rows are those of the run's own weight.
#define ADD_ADAPTER(A, B, rank, scale, first, end)                                                                  \
    for (uint r4 = 0; r4 < rank / 4; r4++) {                                                                        \
        vec4 h = vec4(0);                                                                                           \
        for (uint k4 = LANE; k4 < K4; k4 += LANES) {                                                                \
            vec4 four = input4(0, k4);                                                                              \
            EACH(r, 4) h[r] += dot(four, LOAD4(A, (r4 * 4 + r) * K4 + k4));                                         \
        }                                                                                                           \
        EACH(r, 4) h[r] = groupSum(h[r]) * scale;                                                                   \
        [[unroll]] for (uint g = first; g < end; g++)                                                               \
            EACH(r, 4) c[0][g][r] += dot(LOAD4(B, ((bands[g] - g * half4) * 4 + r) * (rank / 4) + r4), h);          \
    }

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase, K4 = push.K / 4;
    uint outputs = GATED ? push.N / 8 : push.N / 4;  // runs of 4 outputs
    uint half4 = GATED ? outputs : 0;
    uint band = group * LANES * (GATED ? 1 : GROUPS) + LANE;
    uint bands[GROUPS];
    EACH(g, GROUPS) bands[g] = GATED ? min(band, outputs - 1) + g * half4 : min(band + g * LANES, outputs - 1);
    multiply(bands, K4);

    if (GATED) {
        ADD_ADAPTER(loraA, loraB, push.R, push.scaling, 0, 1)
        ADD_ADAPTER(upA, upB, push.upR, push.upScaling, GROUPS - 1, GROUPS)
    } else {
        ADD_ADAPTER(loraA, loraB, push.R, push.scaling, 0, GROUPS)
    }
    if (NORMED) {
        vec4 squares = vec4(0);
        for (uint k4 = LANE; k4 < K4; k4 += LANES) {
            vec4 four = LOAD4(x, k4);
            squares += four * four;
        }
        float rstd = 1 / sqrt(groupSum(horizontalSum(squares)) / float(push.K) + push.epsilon);
        EACH(g, GROUPS) c[0][g] *= rstd;  // the products are linear in x, so the norm's factor comes last
    }

    if (GATED) {
        if (band < outputs)
            STORE4(y, band, activated(c[0][0], activationFactor(c[0][0])) * gateFactor(c[0][1]));
    } else {
        EACH(g, GROUPS) {
            uint at = band + g * LANES;
            if (at < outputs) STORE4(y, at, ACCUMULATE ? LOAD4(oldY, at) + c[0][g] : c[0][g]);
        }
    }
}
