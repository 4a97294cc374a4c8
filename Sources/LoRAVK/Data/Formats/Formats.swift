extension Registries {
    /// In the order in which a row is tried.
    package static let formats = Registry<any ExampleFormat>(
        "data format",
        [
            TemplateFormat(), ChatFormat(), AlpacaFormat(), PreferenceFormat(), KTOFormat(),
            TextPairFormat(), CompletionFormat(), PlainTextFormat(), TokenFormat(), LabelFormat(.labelled),
            LabelFormat(.multilabelled), LabelFormat(.scored), RankingFormat(),
        ])
}
