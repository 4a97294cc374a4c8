// What an objective that compares answers reads of a batch of P pairs, one workgroup a pair, and what it
// writes: the weight of each target of pair p's answers 2p and 2p + 1, which is −∂loss/∂log p of the answer.
// Included behind reduce.glsl.
layout(std430, binding = 0) writeonly buffer Weights { float weights[]; }; // (n)
layout(std430, binding = 1) readonly buffer LogPs { float logps[]; };      // (2P)
layout(std430, binding = 2) readonly buffer Ranges { ivec2 ranges[]; };    // (2P), of an answer's targets
layout(std430, binding = 3) readonly buffer Signs { float signs[]; };      // (P): 1, −1 where the first is not wanted, 0: padding
#define REFERENCES layout(std430, binding = 4) readonly buffer References { float references[]; } // (2P)

uint thisPair(uint groupBase) { return gl_WorkGroupID.x + groupBase; }

float sigmoid(float x) { return 1 / (1 + exp(-x)); }

/// Targets of pair p's two answers.
vec2 targetCounts(uint p) {
    ivec4 r = ivec4(ranges[2 * p], ranges[2 * p + 1]);
    return vec2(r.y - r.x, r.w - r.z);
}

/// log p of pair p's two answers.
vec2 logPs(uint p) { return vec2(logps[2 * p], logps[2 * p + 1]); }

void writeWeights(uint p, vec2 answers) {
    for (uint which = 0; which < 2; ++which) {
        ivec2 range = ranges[2 * p + which];
        for (uint i = range.x + LANE; i < range.y; i += LANES) weights[i] = answers[which];
    }
}
