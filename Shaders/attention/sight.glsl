// Which keys a query sees: from the start of its span to its own; where attention goes in both directions, to the end of the span. Then
// a key is seen by the queries of its own span.
layout(constant_id = 8) const uint CAUSAL = 1;

int lastSeen(int own, int end) { return CAUSAL != 0 ? own : end - 1; }
int firstSeeing(int own, int start) { return CAUSAL != 0 ? own : start; }
