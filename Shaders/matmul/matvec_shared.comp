// y = scale·(x·Wᵀ (+ h·Bᵀ)) for a few rows of x and a frozen weight W (out, in) on any device: a workgroup owns 4 outputs, its
// invocations share out the inputs, neighbours reading neighbouring tiles, and add up through shared memory. Without inputs (K = 0) it is
// the product of any two row-major matrices, h·Bᵀ.
#version 450
//! variants WEIGHT = F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K
#extension GL_GOOGLE_include_directive : require
#define FAMILY_SHARED
#define WEIGHT_BINDING 4
#include "lib/load.glsl"
#include "lib/reduce.glsl"
#include "lib/weights.glsl"

layout(constant_id = 1) const uint ROWS = 1;
layout(constant_id = 2) const bool ACCUMULATE = false;  // y += instead of y =

layout(push_constant) uniform Push {
    uint groupBase;
    uint M, N, K, R;
    uint xStride, yStride, yOffset;  // in runs of four floats
    float scale;
} push;

layout(std430, binding = 0) buffer YStorage { vec4 y[]; };
INPUT4(1, x);        // (M, K)
INPUT4(2, h);        // (M, R)
INPUT4(3, adapter);  // (N, R)

shared vec4 partial[LANES];
vec4 add4(vec4 a, vec4 b) { return a + b; }
vec4 groupSum(vec4 value) { REDUCE(partial, value, add4); }

#define EACH(i, count) [[unroll]] for (uint i = 0; i < count; i++)

void main() {
    uint band = gl_WorkGroupID.x + push.groupBase, K4 = push.K / 4, R4 = push.R / 4;
    vec4 c[ROWS];
    EACH(m, ROWS) c[m] = vec4(0);
    for (uint k4 = LANE; k4 < K4; k4 += LANES) {
        vec4 rows[4];
        loadTile(band * K4 + k4, band * (K4 / 8) + k4 / 8, rows);
        EACH(m, ROWS) {
            vec4 four = x[min(m, push.M - 1) * push.xStride + k4];
            EACH(r, 4) c[m][r] += dot(rows[r], four);
        }
    }
    for (uint r4 = LANE; r4 < R4; r4 += LANES) EACH(m, ROWS) {
        vec4 four = h[min(m, push.M - 1) * R4 + r4];
        EACH(r, 4) c[m][r] += dot(adapter[(band * 4 + r) * R4 + r4], four);
    }
    EACH(m, ROWS) {
        vec4 sum = push.scale * groupSum(c[m]);
        uint at = m * push.yStride + push.yOffset + band;
        if (LANE == 0 && m < push.M) y[at] = ACCUMULATE ? y[at] + sum : sum;
    }
}
