// Scores bent into ±c by c·tanh(s/c) (Gemma 2). Scores are exponents of 2, so the constant is c·log₂ e. It is 0 where scores
// stay as they are, and then none of this is compiled.
layout(constant_id = 5) const float SCORE_CAP = 0;

// By an exponential that cannot overflow; near 0, where 1 − e would lose digits, by the series.
float scoreTanh(float x) {
    float e = exp(-2 * abs(x)), square = x * x;
    float rest = -1.0 / 3 + square * (2.0 / 15 + square * (-17.0 / 315 + square * (62.0 / 2835)));
    float series = x + x * square * rest;
    return abs(x) < 0.25 ? series : sign(x) * (1 - e) / (1 + e);
}

float capped(float score) {
    if (SCORE_CAP > 0) return SCORE_CAP * scoreTanh(score / SCORE_CAP);
    return score;
}

// d capped(s) / ds = 1 − tanh², from the capped score.
float capSlope(float score) {
    float bent = score / SCORE_CAP;
    return 1 - bent * bent;
}
