// A model has an embedding for each id of its tokenizer; more embeddings than tokens are legal. The other way round only
// special tokens that nothing names may be left over: Gemma 3's text models come with a token for images.

import Checkpoints

extension Tokenizer {
    /// The tokenizer that came with a model.
    package static func load(for checkpoint: Checkpoint) throws(FileError) -> Tokenizer {
        try load(
            checkpoint.tokenizerSource(), embeddings: checkpoint.spec.vocabulary, of: checkpoint.path)
    }

    package static func load(_ source: Checkpoint.TokenizerSource, embeddings: Int, of model: String)
        throws(FileError) -> Tokenizer
    {
        try load(source).fitted(to: embeddings, of: model)
    }

    private func fitted(to embeddings: Int, of model: String) throws(FileError) -> Tokenizer {
        guard vocabularySize > embeddings else { return self }
        let named = Set(
            parts.prefix + parts.suffix + specialIDs.stops
                + [specialIDs.bos, specialIDs.eos, specialIDs.pad, specialIDs.unknown].compactMap(\.self))
        var fitted = parts
        for token in addedTokens where token.isSpecial && token.id >= embeddings && !named.contains(token.id)
        {
            if chatTemplate?.contains(token.content) != true { fitted.missing.insert(token.id) }
        }
        let missing = fitted.missing
        fitted.addedTokens.removeAll { missing.contains($0.id) }
        let tokenizer = Tokenizer(fitted)
        guard tokenizer.vocabularySize <= embeddings else {
            throw FileError(
                model, "has a tokenizer of \(vocabularySize) tokens and embeddings for \(embeddings)",
                remedy: "use the tokenizer that belongs to the model")
        }
        return tokenizer
    }
}
