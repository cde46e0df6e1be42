# The same steps as .ci/run, which is the one place that says what they do.

# everything, in order
ci:
    .ci/run

# download the crates for all platforms
fetch:
    .ci/run fetch

# is the code formatted?
fmt:
    .ci/run fmt

# lints, as errors
clippy:
    .ci/run clippy

# the documentation of every crate, without warnings
docs:
    .ci/run docs

# the lcedge command
build:
    .ci/run build

# the model and ONNX Runtime, fetched and prepared
prepare:
    .ci/run prepare

# all tests
test:
    .ci/run test

# the commands once each, on an example log
smoke:
    .ci/run smoke

# benches and evaluations with their smallest parameters
bench:
    .ci/run bench

# what Miri can run of the store
miri:
    .ci/run miri

# the Python that trains a memory, where torch is installed
forge:
    .ci/run forge
