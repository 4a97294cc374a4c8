// Philox4x32-10: a keyed bijection of a 128-bit counter. The same key and counter give the same four words on every
// device, in any order, so a recomputed dropout mask repeats exactly.
// Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
uvec4 philox(uvec4 counter, uvec2 key) {
    for (int round = 0; round < 10; ++round) {
        uvec2 high, low;
        umulExtended(uvec2(0xD2511F53u, 0xCD9E8D57u), counter.xz, high, low);
        counter = uvec4(high.y ^ counter.y ^ key.x, low.y, high.x ^ counter.w ^ key.y, low.x);
        key += uvec2(0x9E3779B9u, 0xBB67AE85u);
    }
    return counter;
}

// Four words for elements 4·block … 4·block+3 of one random site of one layer in one forward pass.
uvec4 randomWords(uvec2 seed, uint pass, uint layer, uint site, uint block) {
    return philox(uvec4(block, site, layer, pass), seed);
}
