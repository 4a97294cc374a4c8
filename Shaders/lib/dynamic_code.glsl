// Numbers from −1 to 1, or 0 to 1, as bytes: a decade is chosen by the leading bits, and shared out evenly by the rest. Decade i
// of seven, 10^(i − 7) to 10^(i − 6), has 2^i codes of each sign, or 2^(i + 1) where there are no signs; a code stands for the
// middle of its share. 127 is 0 of the signed code, 0 of the unsigned one, 255 is 1 of both. Codes grow with what they stand for.
// Dettmers: 8-Bit Approximations for Parallelism in Deep Learning (2016), bitsandbytes' dynamic map.
const float DECADES[7] = float[7](1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0);

/// Code k of a sign, from 0, where decade i has 2^(i + more) codes and those before it have 2^(i + more) − 2^more.
float decoded(uint k, uint more) {
    uint number = k + (1u << more);
    int power = findMSB(number);
    float items = float(1u << power);
    return DECADES[power - int(more)] * (0.1 + 0.9 * (float(number) - items + 0.5) / items);
}

float signedValue(uint code) {
    if (code == 127) return 0;
    if (code == 255) return 1;
    return code > 127 ? decoded(code - 128, 0) : -decoded(126 - code, 0);
}

float unsignedValue(uint code) {
    if (code == 0) return 0;
    return code == 255 ? 1.0 : decoded(code - 1, 1);
}

// Four bytes of a word, and the word of the four codes nearest to x: each is the largest that is no more than x, or the next.
#define BYTES(value, values, code, codes)                                                              \
    vec4 values(uint word) {                                                                           \
        return vec4(value(word & 255u), value((word >> 8) & 255u), value((word >> 16) & 255u),         \
            value(word >> 24));                                                                        \
    }                                                                                                  \
    uint code(float x) {                                                                               \
        uint low = 0;                                                                                  \
        for (uint step = 128; step > 0; step /= 2)                                                     \
            if (value(low + step) <= x) low += step;                                                   \
        return low < 255 && value(low + 1) - x < x - value(low) ? low + 1 : low;                       \
    }                                                                                                  \
    uint codes(vec4 x) { return code(x.x) | code(x.y) << 8 | code(x.z) << 16 | code(x.w) << 24; }
BYTES(signedValue, signedValues, signedCode, signedCodes)
BYTES(unsignedValue, unsignedValues, unsignedCode, unsignedCodes)
