// y = x·Wᵀ (+ h·Bᵀ) for a few rows of x and a frozen weight W (out, in), as in generation: what costs is unpacking W. A lane
// owns GROUPS runs of 4 outputs; numbers of W meet x unscaled, and each block of 32 inputs is scaled once:
// y = Σ_blocks d·(Σ q·x) + m·(Σ x).
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

layout(std430, binding = 0) writeonly buffer YStorage { vec4 y[]; };
INPUT4(1, oldY);     // y once more: a formatted load is the fast one
INPUT4(2, x);        // (M, K)
INPUT4(3, h);        // (M, R)
INPUT4(4, adapter);  // (N, R)

const uint X_LOADS = (8 + LANES - 1) / LANES;  // a lane's share of 32 numbers

#define EACH(i, count) [[unroll]] for (uint i = 0; i < count; i++)

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase, K4 = push.K / 4, N4 = push.N / 4, R4 = push.R / 4;
    uint band = group * LANES * GROUPS + gl_SubgroupInvocationID;
    uint bands[GROUPS], block[GROUPS];  // block: its first tile
    vec4 c[ROWS][GROUPS];
    EACH(g, GROUPS) {
        bands[g] = min(band + g * LANES, N4 - 1);
        block[g] = bands[g] * K4;
        EACH(m, ROWS) c[m][g] = vec4(0);
    }

    for (uint k4 = 0; k4 < K4; k4 += 8) {
        vec4 four[ROWS][X_LOADS];
        float sums[ROWS][X_LOADS];
        EACH(m, ROWS) EACH(i, X_LOADS) {
            uint at = k4 + (i * LANES + gl_SubgroupInvocationID) % 8;
            vec4 value = LOAD4(x, min(m, push.M - 1) * push.xStride + min(at, K4 - 1)) * float(at < K4);
            sums[m][i] = (value.x + value.y) + (value.z + value.w);
            four[m][i] = value * QUANT_SCALE;
        }
        EACH(part, SCALE_PARTS) {
            const uint pairs = 4 / SCALE_PARTS;
            vec4 products[ROWS][GROUPS];
            float sum[ROWS];
            EACH(m, ROWS) {
                EACH(g, GROUPS) products[m][g] = vec4(0);
                sum[m] = 0;
            }
            EACH(i, pairs) {
                uint pair = part * pairs + i;
                uvec4 words[GROUPS][PAIR_LOADS];
                EACH(g, GROUPS) loadPair(block[g], pair, bands[g] * K4 + K4 - 1, words[g]);
                EACH(u, 2) {
                    uint t = pair * 2 + u;
                    vec4 s[ROWS];
                    EACH(m, ROWS) {
                        EACH(k, 4) s[m][k] = subgroupShuffle(four[m][t / LANES][k], t % LANES);
                        sum[m] += subgroupShuffle(sums[m][t / LANES], t % LANES);
                    }
                    EACH(g, GROUPS) EACH(r, 4) {
                        vec4 q = unpackRow(words[g], t, r);
                        EACH(m, ROWS) EACH(k, 4) products[m][g][r] += q[k] * s[m][k];
                    }
                }
            }
#if defined(QUANTISED)
            EACH(g, GROUPS) {
                vec4 scale, minimum;
                loadScales(block[g] / 8, part, scale, minimum);
                EACH(m, ROWS) c[m][g] += products[m][g] * scale + minimum * sum[m];
            }
#else
            EACH(m, ROWS) EACH(g, GROUPS) c[m][g] += products[m][g];
#endif
        }
        EACH(g, GROUPS) block[g] += 8;
    }

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
        if (m < push.M && band + g * LANES < N4) y[at] = ACCUMULATE ? LOAD4(oldY, at) + c[m][g] : c[m][g];
    }
}
