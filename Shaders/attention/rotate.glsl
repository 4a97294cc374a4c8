// The rotation of one run of four rotary pairs, i = head · HALF4 + run: (x1, x2) → (x1 cos θ − x2 sin θ, x2 cos θ + x1 sin θ).
// Rows begin at vec4s `xRow` and `yRow`; `angles` is where the token's cosines begin in `table`, its sines HALF4 later.
const uint HALF4 = HEAD_SIZE / 8;

#define ROTATE(y, yRow, x, xRow, table, angles, direction, i)                                                         \
    {                                                                                                                 \
        uint part = i % HALF4, at = i / HALF4 * 2 * HALF4 + part;                                                     \
        vec4 cosine = LOAD4(table, angles + part), sine = LOAD4(table, angles + HALF4 + part) * direction;            \
        vec4 x1 = LOAD4(x, xRow + at), x2 = LOAD4(x, xRow + at + HALF4);                                              \
        STORE4(y, yRow + at, x1 * cosine - x2 * sine);                                                                \
        STORE4(y, yRow + at + HALF4, x2 * cosine + x1 * sine);                                                        \
    }
