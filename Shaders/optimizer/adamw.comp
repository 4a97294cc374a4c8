// AdamW over a flat range of parameters, the clipped gradient g·clipFactor: p −= lr·wd·p;
// m = β1·m + (1 − β1)·g;  v = β2·v + (1 − β2)·g²;  p −= lr/(1 − β1^t) · m / (√v/√(1 − β2^t) + ε). Nothing changes in a
// skipped step. With RATES EACH every parameter multiplies lr by a number of its own.
// Loshchilov, Hutter: Decoupled Weight Decay Regularization (2019); torch.optim.AdamW.
#version 450
//! variants FAMILY = TEXEL SHARED
//! variants RATES = ONE EACH
#include "lib/load.glsl"
#include "lib/stripe.glsl"
#include "lib/step_state.glsl"

// Each input of these three is the output's own memory.
OUTPUT4(0, newParameters);
OUTPUT4(1, newM);
OUTPUT4(2, newV);
INPUT4(3, parameters);
INPUT4(4, m);
INPUT4(5, v);
INPUT4(6, gradients);
OPTIMIZER_STATE(7, ADAMW_SETTINGS);
STEP_RESULT(8, readonly);
#ifdef RATES_EACH
INPUT4(9, rates);
#endif

layout(push_constant) uniform Push {
    uint groupBase;
    uint count4;
} push;

void main() {
    if (result.skipped != 0) return;
    float decayRate = state.learningRate * state.weightDecay;
    float step = state.learningRate / state.biasCorrection1;
    float epsilon = state.epsilon;
    // Read once: to the compiler, every store may change what is in a buffer.
    vec4 decay = vec4(state.beta1, state.oneMinusBeta1, state.beta2, state.oneMinusBeta2);
    float root = state.rootBiasCorrection2;
    float clip = result.clipFactor;

    FOR_EACH4(i, gl_WorkGroupID.x + push.groupBase, push.count4) {
        vec4 g = LOAD4(gradients, i) * clip;
#ifdef RATES_EACH
        vec4 multiplier = LOAD4(rates, i);
        g = mix(g, vec4(0), equal(multiplier, vec4(0))); // what is frozen may have any gradient
#else
        const float multiplier = 1.0;
#endif
        vec4 first = decay.x * LOAD4(m, i) + decay.y * g;
        vec4 second = decay.z * LOAD4(v, i) + decay.w * g * g;
        STORE4(newM, i, first);
        STORE4(newV, i, second);
        STORE4(newParameters, i, (1.0 - multiplier * decayRate) * LOAD4(parameters, i)
            - multiplier * step * first / (sqrt(second) / root + epsilon));
    }
}
