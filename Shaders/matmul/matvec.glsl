// The products of a few rows of x with a lane's runs of 4 outputs, which the matrix–vector kernels share: numbers of W meet x
// unscaled, and each block of 32 inputs is scaled once: c = Σ_blocks d·(Σ q·x) + m·(Σ x). What includes this gives
// input4(m, k4), four inputs of a row.
const uint X_LOADS = (8 + LANES - 1) / LANES;  // a lane's share of 32 inputs

#define EACH(i, count) [[unroll]] for (uint i = 0; i < count; i++)

vec4 c[ROWS][GROUPS];

// `bands` are the lane's runs of 4 outputs, K4 is a quarter of the inputs.
void multiply(uint bands[GROUPS], uint K4) {
    uint block[GROUPS];  // its first tile
    EACH(g, GROUPS) {
        block[g] = bands[g] * K4;
        EACH(m, ROWS) c[m][g] = vec4(0);
    }
    for (uint k4 = 0; k4 < K4; k4 += 8) {
        vec4 four[ROWS][X_LOADS];
        float sums[ROWS][X_LOADS];
        EACH(m, ROWS) EACH(i, X_LOADS) {
            uint at = k4 + (i * LANES + gl_SubgroupInvocationID) % 8;
            vec4 value = input4(m, min(at, K4 - 1)) * float(at < K4);
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
}
