// Weights in tiles of 4 × 4 (Shaders/lib/weights.glsl), unpacked to floats: a block of 4 rows × 32 columns at a time. `turned`: the sixteen
// numbers of a tile come out by columns instead of rows.

INLINED F16 NAME(halves)(U16 bits) {
    // The exponent is 112 less than that of a float; a product with 2^112 is exact, also of what is denormal.
    const U16 magnitude = (bits & 0x7fff) << 13;
    const F16 value = (F16)magnitude * 0x1p112f;
    return (F16)((U16)value | (bits & 0x8000) << 16);
}

INLINED float NAME(half)(uint16_t bits) {
    union { uint32_t u; float f; } value = {(uint32_t)(bits & 0x7fff) << 13};
    value.f *= 0x1p112f;
    value.u |= (uint32_t)(bits & 0x8000) << 16;
    return value.f;
}

/// A row's number for each of the sixteen.
INLINED F16 NAME(by_row)(const float rows[4], const bool turned) {
    const float a = rows[0], b = rows[1], c = rows[2], d = rows[3];
    return turned ? (F16){a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d}
                  : (F16){a, a, a, a, b, b, b, b, c, c, c, c, d, d, d, d};
}

INLINED F16 NAME(turn)(F16 tile, const bool turned) {
    return turned ? __builtin_shufflevector(tile, tile, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15) : tile;
}

/// The sixteen of 4 bits: those of a row lie in 16 bits.
INLINED U16 NAME(nibbles)(const uint8_t *tile, const bool turned) {
    uint32_t w[2];
    memcpy(w, tile, 8);
    const uint32_t a = w[0], b = w[1];
    if (turned)
        return ((U16){a, a, b, b, a, a, b, b, a, a, b, b, a, a, b, b}
                >> (U16){0, 16, 0, 16, 4, 20, 4, 20, 8, 24, 8, 24, 12, 28, 12, 28}) & 15;
    return ((U16){a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b}
            >> (U16){0, 4, 8, 12, 16, 20, 24, 28, 0, 4, 8, 12, 16, 20, 24, 28}) & 15;
}

/// The higher bits of a tile of Q5_K or Q6_K: four of a row lie four bits apart.
INLINED U16 NAME(higher)(
    const uint8_t *words, uint32_t shift, uint32_t mask, const bool turned) {
    uint32_t w[4];
    memcpy(w, words, 16);
    const uint32_t a = w[0] >> shift, b = w[1] >> shift, c = w[2] >> shift, d = w[3] >> shift;
    if (turned)
        return (((U16){a, b, c, d, a, b, c, d, a, b, c, d, a, b, c, d}
                 >> (U16){0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12}) & mask) << 4;
    return (((U16){a, a, a, a, b, b, b, b, c, c, c, c, d, d, d, d}
             >> (U16){0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12}) & mask) << 4;
}

/// d and m of four rows, w = d·q + m; Q6_K has two of each for the halves of its columns.
INLINED void NAME(block_scales)(
    const host_type type, const uint8_t *scales, size_t block, float d[2][4], float m[2][4]) {
    for (int r = 0; r < 4; r++) {
        uint16_t halves[2];
        switch (type) {
        case HOST_Q8_0:
        case HOST_Q4_0:
            memcpy(halves, scales + block * 8 + r * 2, 2);
            d[0][r] = NAME(half)(halves[0]);
            m[0][r] = type == HOST_Q4_0 ? -8 * d[0][r] : 0;
            break;
        case HOST_Q4_1:
            memcpy(halves, scales + block * 16 + r * 2, 2);
            memcpy(halves + 1, scales + block * 16 + 8 + r * 2, 2);
            d[0][r] = NAME(half)(halves[0]);
            m[0][r] = NAME(half)(halves[1]);
            break;
        case HOST_Q4_K:
        case HOST_Q5_K: {
            const uint8_t *part = scales + block / 8 * 80, *codes = part + 16 + block % 8 * 8;
            memcpy(halves, part + r * 2, 2);
            memcpy(halves + 1, part + 8 + r * 2, 2);
            d[0][r] = NAME(half)(halves[0]) * codes[r];
            m[0][r] = -NAME(half)(halves[1]) * codes[4 + r];
            break;
        }
        case HOST_Q6_K: {
            const uint8_t *part = scales + block / 8 * 80, *codes = part + 16 + block % 8 * 8;
            memcpy(halves, part + r * 2, 2);
            for (int i = 0; i < 2; i++) {
                d[i][r] = NAME(half)(halves[0]) * (int8_t)codes[4 * i + r];
                m[i][r] = -32 * d[i][r];
            }
            break;
        }
        default: break;
        }
    }
}

/// Up to eight tiles of four rows from `tile` on, which begins a block: numbers of row r and column c to
/// panel[r·PANEL + c], or, turned, to panel[c·PANEL + r].
INLINED void NAME(unpack_block)(
    const host_type type, const uint8_t *tiles, const uint8_t *scales, size_t tile, size_t count, float *panel,
    const bool turned) {
    float d[2][4], m[2][4];
    NAME(block_scales)(type, scales, tile / 8, d, m);
    F16 factor = NAME(by_row)(d[0], turned), offset = NAME(by_row)(m[0], turned);
    for (size_t t = 0; t < count; t++) {
        F16 values;
        const uint8_t *here;
        switch (type) {
        case HOST_F32:
            memcpy(&values, tiles + (tile + t) * 64, 64);
            values = NAME(turn)(values, turned);
            break;
        case HOST_F16:
        case HOST_BF16: {
            S16 bits;
            memcpy(&bits, tiles + (tile + t) * 32, 32);
            const U16 wide = __builtin_convertvector(bits, U16);
            values = NAME(turn)(type == HOST_F16 ? NAME(halves)(wide) : (F16)(wide << 16), turned);
            break;
        }
        case HOST_Q8_0: {
            B16 bytes;
            memcpy(&bytes, tiles + (tile + t) * 16, 16);
            if (turned)
                bytes = __builtin_shufflevector(
                    bytes, bytes, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            values = __builtin_convertvector(bytes, F16) * factor;
            break;
        }
        case HOST_Q4_0:
        case HOST_Q4_1:
        case HOST_Q4_K:
            values = __builtin_convertvector((I16)NAME(nibbles)(tiles + (tile + t) * 8, turned), F16) * factor
                + offset;
            break;
        default: {  // Q5_K and Q6_K: 64 bytes of nibbles a block, then words of higher bits
            const bool six = type == HOST_Q6_K;
            const size_t in = (tile + t) % 8, tilesAHalf = six ? 2 : 4;
            here = tiles + (tile + t) / 8 * (six ? 96 : 80);
            const size_t place = in % (2 * tilesAHalf);
            const uint32_t shift = (uint32_t)(place / tilesAHalf * 16 + place % tilesAHalf * (six ? 2 : 1));
            const U16 q = NAME(nibbles)(here + in * 8, turned)
                | NAME(higher)(here + 64 + in / (2 * tilesAHalf) * 16, shift, six ? 3 : 1, turned);
            if (six && t == 4) {
                factor = NAME(by_row)(d[1], turned);
                offset = NAME(by_row)(m[1], turned);
            }
            values = __builtin_convertvector((I16)q, F16) * factor + offset;
        }
        }
        for (int i = 0; i < 4; i++) {
            float *to = turned ? panel + (t * 4 + i) * PANEL : panel + (size_t)i * PANEL + t * 4;
            memcpy(to, (const float *)&values + i * 4, 16);
        }
    }
}

/// Columns n0 … of rows p0 … p0 + k of a factor to a panel (k, PANEL), whose columns beyond the factor's are zeros.
INLINED void NAME(pack_weight)(
    const host_type type, const host_factor *w, size_t p0, size_t k, size_t n0, size_t columns, float *panel) {
    static const size_t tile_bytes[] = {0, 64, 32, 32, 16, 8, 8, 8, 10, 12};
    static const size_t scale_bytes[] = {0, 0, 0, 0, 8, 8, 16, 10, 10, 10};
    const size_t tiles = w->pitch / 4;
    for (size_t band = 0; band < (w->transposed ? columns + 3 : k + 3) / 4; band++) {
        const size_t row = (w->transposed ? n0 : p0) / 4 + band;
        const uint8_t *values = (const uint8_t *)w->values + row * tiles * tile_bytes[type];
        const uint8_t *scales = (const uint8_t *)w->scales + row * (w->pitch / 32) * scale_bytes[type];
        const size_t first = (w->transposed ? p0 : n0) / 4, count = ((w->transposed ? k : columns) + 3) / 4;
        for (size_t t = 0; t < count; t += 8) {
            const size_t some = count - t < 8 ? count - t : 8;
            if (w->transposed)
                NAME(unpack_block)(
                    type, values, scales, first + t, some, panel + t * 4 * PANEL + band * 4, true);
            else
                NAME(unpack_block)(
                    type, values, scales, first + t, some, panel + band * 4 * PANEL + t * 4, false);
        }
    }
}

ON_TARGET static void NAME(pack)(
    const host_factor *w, size_t p0, size_t k, size_t n0, size_t columns, float *panel) {
    switch (w->type) {
    case HOST_MATRIX: {
        const float *values = w->values;
        if (!w->transposed) {
            for (size_t p = 0; p < k; p++) {
                memcpy(panel + p * PANEL, values + (p0 + p) * w->pitch + n0, columns * 4);
                if (columns < PANEL) memset(panel + p * PANEL + columns, 0, (PANEL - columns) * 4);
            }
            return;
        }
        if (columns < PANEL) memset(panel, 0, k * PANEL * 4);
        for (size_t p = 0; p < k; p += 16) {
            const size_t end = p + 16 < k ? p + 16 : k;
            for (size_t j = 0; j < columns; j++)
                for (size_t q = p; q < end; q++)
                    panel[q * PANEL + j] = values[(n0 + j) * w->pitch + p0 + q];
        }
        return;
    }
#define CASE(type) \
    case type: NAME(pack_weight)(type, w, p0, k, n0, columns, panel); return;
        CASE(HOST_F32)
        CASE(HOST_F16)
        CASE(HOST_BF16)
        CASE(HOST_Q8_0)
        CASE(HOST_Q4_0)
        CASE(HOST_Q4_1)
        CASE(HOST_Q4_K)
        CASE(HOST_Q5_K)
        CASE(HOST_Q6_K)
#undef CASE
    }
}
