"""The engines that run the models, DuckDB and Spark, and the translation of SQL between them."""
