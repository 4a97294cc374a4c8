// Activations f(x) = x·p(x), safe for any x. The pipeline's constant ACTIVATION says which:
//   0 silu       p = σ(x)
//   1 gelu       p = Φ(x), the normal distribution's     Hendrycks, Gimpel: Gaussian Error Linear Units (2016)
//   2 gelu_tanh  p = ½(1 + tanh(u/2)) = σ(u), u = √(8/π)·(x + 0.044715·x³)
//   3 relu2      p = max(x, 0)                           So et al.: Primer (2021)
//   4 clamped    f = z·p, z = min(x, 7), p = σ(1.702·z), and clamp(u, −7, 7) + 1 in the place of a gate's other factor u (gpt-oss)
layout(constant_id = 8) const uint ACTIVATION = 0;
const uint GELU = 1, GELU_TANH = 2, RELU2 = 3, CLAMPED = 4;

const float STEEPNESS = 1.702, LIMIT = 7;  // of CLAMPED
const float ROOT8_BY_PI = 1.5957691216057308;

// The logistic function: the exponential's argument is never positive.
vec4 sigmoid(vec4 x) {
    vec4 e = exp(-abs(x));
    return mix(e, vec4(1), greaterThanEqual(x, vec4(0))) / (1 + e);
}

// Where p and p′ have reached their limits, so that no power of x overflows.
vec4 limited(vec4 x) { return clamp(x, vec4(-16), vec4(16)); }

// exp(−x²/2), √(2π) times the normal density.
vec4 bell(vec4 x) { return exp(-0.5 * x * x); }

// Φ(x): Φ(−z) = exp(−z²/2)·t·R(t), t = 1/(1 + 0.3·z), with R fitted for 0 ≤ z ≤ 14 to a relative error of 1.5·10⁻⁷.
vec4 normalDistribution(vec4 x) {
    vec4 t = 1 / (1 + 0.3 * abs(x));
    vec4 r = vec4(0.03567477688193321);
    r = r * t - 0.15720310807228088;
    r = r * t + 0.20635353028774261;
    r = r * t - 0.05368367210030556;
    r = r * t + 0.12856164574623108;
    r = r * t + 0.09991348534822464;
    r = r * t + 0.12075395882129669;
    r = r * t + 0.11962930113077164;
    vec4 tail = bell(x) * t * r;
    return mix(1 - tail, tail, lessThan(x, vec4(0)));
}

// p(x)
vec4 activationFactor(vec4 x) {
    vec4 z = limited(x), p;
    if (ACTIVATION == GELU) p = normalDistribution(z);
    else if (ACTIVATION == GELU_TANH) p = sigmoid(ROOT8_BY_PI * (z + 0.044715 * z * z * z));
    else if (ACTIVATION == RELU2) p = max(x, vec4(0));
    else if (ACTIVATION == CLAMPED) p = sigmoid(STEEPNESS * min(x, LIMIT));
    else p = sigmoid(x);
    return p;
}

// f(x), where p = p(x).
vec4 activated(vec4 x, vec4 p) { return (ACTIVATION == CLAMPED ? min(x, LIMIT) : x) * p; }

// What f(x) is multiplied by in a gate, and d times its slope.
vec4 gateFactor(vec4 u) { return ACTIVATION == CLAMPED ? clamp(u, -LIMIT, LIMIT) + 1 : u; }
vec4 timesGateSlope(vec4 d, vec4 u) {
    return ACTIVATION == CLAMPED ? mix(d, vec4(0), greaterThan(abs(u), vec4(LIMIT))) : d;
}

// d·f′(x), where p = p(x): f′ = p + x·p′.
vec4 timesSlope(vec4 d, vec4 x, vec4 p) {
    vec4 z = limited(x), slope;
    if (ACTIVATION == GELU) slope = d * (p + 0.3989422804014327 * x * bell(z));
    else if (ACTIVATION == GELU_TANH)
        slope = d * (p + x * p * (1 - p) * (ROOT8_BY_PI * (1 + 0.134145 * z * z)));
    else if (ACTIVATION == RELU2) slope = d * (2 * p);
    else if (ACTIVATION == CLAMPED)
        slope = mix(d * p * (1 + STEEPNESS * x * (1 - p)), vec4(0), greaterThan(x, vec4(LIMIT)));
    else slope = d * p * (1 + x * (1 - p));
    return slope;
}
