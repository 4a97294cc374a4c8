#version 450
// c = aᵀ·b (TN: b lies (k, n)) or aᵀ·bᵀ (TT: b lies (n, k)) with a lying (k, m), all f32: an adapter's gradients
// dA += gᵀ·x and dB += dyᵀ·h, and g = s·dy·B. k may end anywhere in TN (it counts tokens); what lies beyond adds zero.
//! variants OP = TN TT
//! variants FAMILY = TEXEL SUBGROUP
#extension GL_GOOGLE_include_directive : require
#define A_COLUMNS
#include "lib/load.glsl"
#include "lib/register_tile.glsl"

INPUT4(2, x);  // a
INPUT4(3, w);  // b

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase;
    uint tiles = (push.M + ROWS - 1) / ROWS, N4 = (push.N + 3) / 4, K4 = push.K / 4, M4 = push.M / 4;
    uint row = group % tiles * ROWS, column = group / tiles * COLUMNS4 + gl_SubgroupInvocationID;
    // Values pushed are read anew in every round unless they are copied first.
    uint xStride = push.xStride, wStride = push.wStride, K = push.K;
    clear();

    uint xAt[A_LOADS], at[GROUPS], rowAt[GROUPS][4];
    EACH(i, A_LOADS) xAt[i] = min(row / 4 + aUnit(i) % (ROWS / 4), M4 - 1) + push.xOffset;
    EACH(g, GROUPS) at[g] = min(column + g * LANES, N4 - 1) + push.wOffset;
    EACH(g, GROUPS) EACH(j, 4)
        rowAt[g][j] = min((column + g * LANES) * 4 + j, push.N - 1) * push.wStride + push.wOffset;

    uint k = 0;
    do {
        EACH(i, A_LOADS) {
            uint from = k + aUnit(i) / (ROWS / 4);
            a[i] = LOAD4(x, min(from, K - 1) * xStride + xAt[i]) * float(from < K);
        }
#if defined(OP_TN)
        EACH(from, STEPS * 4) {
            bool last = k + from >= K - 1;
            EACH(g, GROUPS) {
                b[from][g] = LOAD4(w, at[g]);
                at[g] += last ? 0 : wStride;
            }
        }
#else
        EACH(u, STEPS) EACH(g, GROUPS) {
            vec4 rows[4];
            EACH(j, 4) rows[j] = LOAD4(w, rowAt[g][j] + min(k / 4 + u, K4 - 1));
            EACH(j, 4) b[u * 4 + j][g] = vec4(rows[0][j], rows[1][j], rows[2][j], rows[3][j]);
        }
#endif
        multiply();
        k += STEPS * 4;
    } while (k < K);
    store(row, column);
}
