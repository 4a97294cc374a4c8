// Numbers from −1 to 1, or 0 to 1, as bytes: a decade is chosen by the leading bits, and shared out evenly by the rest. Decade i
// of seven, 10^(i − 7) to 10^(i − 6), has 2^i codes of each sign, or 2^(i + 1) where there are no signs; a code stands for the
// middle of its share. 127 is 0 of the signed code, 0 of the unsigned one, 255 is 1 of both. Codes grow with what they stand for.
// Dettmers: 8-Bit Approximations for Parallelism in Deep Learning (2016), bitsandbytes' dynamic map.
// `more` is the codes of the first decade: 1 with signs, 2 without. Everything is arithmetic on four at once: a software driver looks nothing up.

/// a where x is below the decade's bound, b elsewhere.
vec4 beyond(vec4 x, float bound, vec4 a, float b) { return mix(a, vec4(b), greaterThan(x, vec4(bound))); }

/// 10^(i − 6), by the number of codes 2^(i + more) of the decade.
vec4 decade(vec4 items, float more) {
    vec4 size = beyond(items, 1.5 * more, vec4(1e-6), 1e-5);
    size = beyond(items, 3.0 * more, size, 1e-4);
    size = beyond(items, 6.0 * more, size, 1e-3);
    size = beyond(items, 12.0 * more, size, 1e-2);
    size = beyond(items, 24.0 * more, size, 1e-1);
    return beyond(items, 48.0 * more, size, 1.0);
}

/// What code k of a sign stands for, from 0: decade i has 2^i·more codes and those before it 2^i·more − more.
vec4 decoded(vec4 k, float more) {
    vec4 number = k + more;
    vec4 items = uintBitsToFloat(floatBitsToUint(number) & 0x7f800000u); // the power of two that is no more
    return decade(items, more) * (0.1 + 0.9 * (number - items + 0.5) / items);
}

/// The code of a sign that is nearest to x, from 0. Decade i ends half way to the first code of the next, at 10^(i − 6)·(1 + 0.9/items).
vec4 encoded(vec4 x, float more) {
    vec4 items = vec4(more), per = vec4(1e6);
#define DECADE(bound, count)                                                                           \
    per = beyond(x, bound * (1.0 + 0.9 / (count * more)), per, 0.1 / bound);                            \
    items = beyond(x, bound * (1.0 + 0.9 / (count * more)), items, 2.0 * count * more);
    DECADE(1e-6, 1.0)
    DECADE(1e-5, 2.0)
    DECADE(1e-4, 4.0)
    DECADE(1e-3, 8.0)
    DECADE(1e-2, 16.0)
    DECADE(1e-1, 32.0)
    return items - more + clamp(floor((x * per - 0.1) / 0.9 * items), vec4(0), items - 1.0);
}

vec4 bytes(uint word) { return vec4(word & 255u, (word >> 8) & 255u, (word >> 16) & 255u, word >> 24); }

uint word(vec4 codes) {
    uvec4 four = uvec4(codes);
    return four.x | four.y << 8 | four.z << 16 | four.w << 24;
}

vec4 signedValues(uint codes) {
    vec4 code = bytes(codes);
    vec4 above = code - 127.0; // of 0
    vec4 value = sign(above) * decoded(max(abs(above) - 1.0, 0.0), 1.0);
    return mix(value, vec4(1), equal(code, vec4(255)));
}

vec4 unsignedValues(uint codes) {
    vec4 code = bytes(codes);
    vec4 value = mix(decoded(max(code - 1.0, 0.0), 2.0), vec4(0), equal(code, vec4(0)));
    return mix(value, vec4(1), equal(code, vec4(255)));
}

uint signedCodes(vec4 x) {
    vec4 size = abs(x);
    vec4 code = 127.0 + sign(x) * (1.0 + encoded(size, 1.0));
    code = mix(vec4(127), code, greaterThan(size, vec4(0.275e-6)));
    return word(mix(code, vec4(255), greaterThan(x, vec4(1.0 - 0.225 / 64.0))));
}

uint unsignedCodes(vec4 x) {
    vec4 code = mix(vec4(0), 1.0 + encoded(x, 2.0), greaterThan(x, vec4(0.1625e-6)));
    return word(mix(code, vec4(255), greaterThan(x, vec4(1.0 - 0.225 / 128.0))));
}
