# The same steps by name; everything happens in .ci/run, and nobody needs `just`.

# What continuous integration runs
all:
    .ci/run

# Formatting
format:
    .ci/run format

# Clippy with warnings denied
lint:
    .ci/run lint

# Every test
tests:
    .ci/run tests

# API documentation
docs:
    .ci/run docs

# Generated files
fresh:
    .ci/run fresh

# Benchmarks, each beside its bare counterpart
bench:
    cargo bench --package jumpstarter-tests
