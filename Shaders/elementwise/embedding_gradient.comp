// The gradient of an embedding's rows: dW[id] += scale·Σ dx[j] over the tokens j that have the id, in their order. The first token of
// an id adds all of them, a vec4 an invocation, so there are no atomics and every run gives the same bits. A workgroup is some columns of a
// token; a gradient larger than one binding comes in spans of rows, a dispatch a span.
#version 450
//! variants FAMILY = TEXEL SHARED
#include "lib/load.glsl"

layout(local_size_x_id = 0) in;
layout(constant_id = 0) const uint LANES = 8;

OUTPUT4(0, dw);                                                 // (V, C), also read
INPUT4(1, old);
INPUT4(2, dx);                                                  // (N, C)
layout(std430, binding = 3) readonly buffer Ids { int ids[]; }; // (N)

layout(push_constant) uniform Push {
    uint groupBase;
    uint width4;     // C / 4
    uint chunks;     // workgroups a token
    uint firstToken; // of this span of dx
    uint tokens;
    uint firstRow;   // of this span of dW
    uint spanRows;
    float scale;
} push;

void main() {
    uint group = gl_WorkGroupID.x + push.groupBase;
    uint token = group / push.chunks;
    uint i = group % push.chunks * LANES + gl_LocalInvocationID.x;
    int id = ids[push.firstToken + token];
    uint row = uint(id - int(push.firstRow)); // an earlier row becomes too large a number
    if (row >= push.spanRows || i >= push.width4) return;
    for (uint j = 0; j < token; ++j)
        if (ids[push.firstToken + j] == id) return;
    vec4 sum = vec4(0);
    for (uint j = token; j < push.tokens; ++j)
        if (ids[push.firstToken + j] == id) sum += LOAD4(dx, j * push.width4 + i);
    uint at = row * push.width4 + i;
    STORE4(dw, at, LOAD4(old, at) + push.scale * sum);
}
