#version 450
// y = x·Wᵀ (NT) or dx = dy·W (NN) on a GPU's matrix units: f16 factors, f32 sums. Slabs of both pass through shared memory as
// halves; each of WAVES_M × WAVES_N subgroups keeps the sums of its part of the tile in matrices of FRAGMENT_M × FRAGMENT_N.
// No half overflows: a row of x is scaled by a power of two that brings its largest number near 2^15, which keeps gradients off the
// small end too, and weights beyond a half's range make the tile start again with weights 2^-15 times as large.
//! variants OP = NT NN
//! variants WEIGHT = F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q4_K Q5_K Q6_K
#pragma use_vulkan_memory_model
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_arithmetic : require
#extension GL_NV_cooperative_matrix : require  // the compiler's name; the build turns it into the KHR's

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 128;
layout(constant_id = 1) const uint TILE_M = 64;
layout(constant_id = 2) const uint TILE_N = 64;
layout(constant_id = 3) const uint WAVES_M = 2;
layout(constant_id = 4) const uint WAVES_N = 2;
layout(constant_id = 5) const uint FRAGMENT_M = 16;
layout(constant_id = 6) const uint FRAGMENT_N = 16;
layout(constant_id = 7) const uint FRAGMENT_K = 16;
layout(constant_id = 8) const bool ACCUMULATE = false;  // y += instead of y =

layout(push_constant) uniform Push {
    uint groupBase;
    uint M, N, K;
    uint xStride, xOffset, yStride, yOffset;  // row to row, and to the first column, in floats
    float scale;
} push;

layout(std430, binding = 0) buffer YStorage { float y[]; };
layout(std430, binding = 1) readonly buffer XStorage { float x[]; };
#define WEIGHT_BINDING 2
#include "lib/weights.glsl"

#define A_MATRIX fcoopmatNV<16, gl_ScopeSubgroup, FRAGMENT_M, FRAGMENT_K>
#define B_MATRIX fcoopmatNV<16, gl_ScopeSubgroup, FRAGMENT_K, FRAGMENT_N>
#define C_MATRIX fcoopmatNV<32, gl_ScopeSubgroup, FRAGMENT_M, FRAGMENT_N>
const uint TILE_K = 32;
const uint PITCH = TILE_K + 8;  // rows begin at 16 bytes, on other banks
const uint DOWN = TILE_M / WAVES_M / FRAGMENT_M;  // matrices of a subgroup
const uint ACROSS = TILE_N / WAVES_N / FRAGMENT_N;
const uint FRAGMENT = FRAGMENT_M * FRAGMENT_N;
const float LARGEST_HALF = 65504;

shared float16_t aSlab[TILE_M * PITCH];
shared float16_t bSlab[TILE_N * PITCH];  // column n of b is row n
shared float cSlab[WAVES_M * WAVES_N * FRAGMENT];
shared float rowScale[TILE_M];
shared uint overflows[4];  // the first; four, so that whatever lies behind it begins at 16 bytes, as loads of matrices must
C_MATRIX c[DOWN * ACROSS];

#define EACH(i, count) [[unroll]] for (uint i = 0; i < count; i++)
#define TURNS(count) ((count + LANES - 1) / LANES)
uint item(uint turn) { return turn * LANES + gl_LocalInvocationID.x; }

// 2^(14 - e) where the largest number of the row is in [2^e, 2^(e + 1)).
void scaleRows(uint row) {
    for (uint m = gl_SubgroupID; m < TILE_M; m += gl_NumSubgroups) {
        float largest = 0;
        if (row + m < push.M)
            for (uint k = gl_SubgroupInvocationID; k < push.K; k += gl_SubgroupSize)
                largest = max(largest, abs(x[(row + m) * push.xStride + push.xOffset + k]));
        largest = subgroupMax(largest);
        int exponent = int(floatBitsToUint(largest) >> 23) - 127;
        if (subgroupElect()) rowScale[m] = largest > 0 ? uintBitsToFloat(uint(clamp(14 - exponent, -126, 126) + 127) << 23) : 1;
    }
}

void loadX(uint row, uint k0) {
    EACH(turn, TURNS(TILE_M * TILE_K)) {
        uint i = item(turn);
        uint k = i % TILE_K, m = i / TILE_K;
        if (i >= TILE_M * TILE_K) continue;
        bool inside = k0 + k < push.K && row + m < push.M;
        float value = inside ? x[(row + m) * push.xStride + push.xOffset + k0 + k] * rowScale[m] : 0;
        aSlab[m * PITCH + k] = float16_t(value);
    }
}

void loadW(uint column, uint k0, float weightScale) {
    EACH(turn, TURNS(TILE_N * TILE_K / 16)) {
        uint i = item(turn);
        vec4 rows[4] = vec4[4](vec4(0), vec4(0), vec4(0), vec4(0));
#if defined(OP_NT)
        uint k = i % (TILE_K / 4) * 4, n = i / (TILE_K / 4) * 4, width = push.K;
        uint atRow = column + n, atColumn = k0 + k;
#else
        uint n = i % (TILE_N / 4) * 4, k = i / (TILE_N / 4) * 4, width = push.N;
        uint atRow = k0 + k, atColumn = column + n;
#endif
        if (i >= TILE_N * TILE_K / 16) continue;
        if (k0 + k < push.K && column + n < push.N)
            loadTile(atRow / 4 * (width / 4) + atColumn / 4, atRow / 4 * (width / 32) + atColumn / 32, rows);
        EACH(r, 4) {
            vec4 weights = rows[r] * weightScale;
            if (any(greaterThan(abs(weights), vec4(LARGEST_HALF)))) atomicOr(overflows[0], 1u);
            EACH(s, 4) {
#if defined(OP_NT)
                bSlab[(n + r) * PITCH + k + s] = float16_t(weights[s]);
#else
                bSlab[(n + s) * PITCH + k + r] = float16_t(weights[s]);
#endif
            }
        }
    }
}

void multiply(uint down, uint across) {
    EACH(k, TILE_K / FRAGMENT_K) {
        A_MATRIX a[DOWN];
        EACH(m, DOWN) coopMatLoadNV(a[m], aSlab, (down + m * FRAGMENT_M) * PITCH + k * FRAGMENT_K, PITCH, false);
        EACH(n, ACROSS) {
            B_MATRIX b;
            coopMatLoadNV(b, bSlab, (across + n * FRAGMENT_N) * PITCH + k * FRAGMENT_K, PITCH, true);
            EACH(m, DOWN) c[m * ACROSS + n] = coopMatMulAddNV(a[m], b, c[m * ACROSS + n]);
        }
    }
}

void store(uint row, uint column, uint down, uint across, float weightScale) {
    EACH(m, DOWN) EACH(n, ACROSS) {
        uint slab = gl_SubgroupID * FRAGMENT;
        coopMatStoreNV(c[m * ACROSS + n], cSlab, slab, FRAGMENT_N, false);
        barrier();
        for (uint i = gl_SubgroupInvocationID; i < FRAGMENT; i += gl_SubgroupSize) {
            uint inTile = down + m * FRAGMENT_M + i / FRAGMENT_N;
            uint atRow = row + inTile, atColumn = column + across + n * FRAGMENT_N + i % FRAGMENT_N;
            if (atRow < push.M && atColumn < push.N) {
                uint at = atRow * push.yStride + push.yOffset + atColumn;
                float value = push.scale * (cSlab[slab + i] / rowScale[inTile] / weightScale);
                y[at] = ACCUMULATE ? y[at] + value : value;
            }
        }
        barrier();
    }
}

void main() {
    if (gl_NumSubgroups != WAVES_M * WAVES_N) return;  // a driver that took another width: the check of the units will see it
    uint group = gl_WorkGroupID.x + push.groupBase, tiles = (push.M + TILE_M - 1) / TILE_M;
    uint row = group % tiles * TILE_M, column = group / tiles * TILE_N;
    uint down = gl_SubgroupID / WAVES_N * (TILE_M / WAVES_M), across = gl_SubgroupID % WAVES_N * (TILE_N / WAVES_N);
    scaleRows(row);
    float weightScale = 1;
    for (uint attempt = 0; attempt < 10; attempt++) {
        if (gl_LocalInvocationID.x == 0) overflows[0] = 0;
        EACH(i, DOWN * ACROSS) c[i] = C_MATRIX(0.0);
        for (uint k = 0; k < push.K; k += TILE_K) {
            barrier();
            loadX(row, k);
            loadW(column, k, weightScale);
            barrier();
            multiply(down, across);
        }
        if (overflows[0] == 0) break;
        weightScale /= 32768;
        barrier();
    }
    store(row, column, down, across, weightScale);
}
