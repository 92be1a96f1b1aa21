#!/usr/bin/env bash
# What a machine with a GPU measures in one go, most valuable first:
#
#     benchmarks/gpu.sh OUTPUT [PROGRAMS]
#
# OUTPUT gets a directory an entry. Called again with it, finished entries are left out and the one
# that was stopped goes on. PROGRAMS, of `python -m benchmarks --export`, are TensorFlow's. Needs
# JAX, and beside it what is there of torch, flash-linear-attention and pytest.
#
#     SECONDS_EACH=60   limit of an entry
#     TOKENS=16384      of a batch of layers
#     DEVICE=gpu        or cpu, with TOKENS, WIDTHS, LENGTHS and STREAM to try it where there is none
#     LAYERS="…"        whose contract is tested: expressions of pytest's -k
#     SPEEDS="…"        papers whose reported speeds are measured: name:experiment; "" for none
set -uo pipefail
output=$(mkdir -p "$1" && cd "$1" && pwd)
programs=${2:+$(cd "$2" && pwd)}
cd "$(dirname "$0")/.."
export KERAS_BACKEND=jax PYTHONUNBUFFERED=1
# What was compiled once, by an earlier call too, is not compiled again.
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$output/compiled}
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=1
each=${SECONDS_EACH:-60}
tokens=${TOKENS:-16384}
device=${DEVICE:-gpu}
memories="gla/gated-linear-attention delta_net/delta-net delta_net/gated-delta-net mamba2/mamba2 retnet/retention"

entry() { # a name, and a command that is finished when it ends by itself
    local name=$1 start=$SECONDS
    shift
    [ -e "$output/$name/finished" ] && return
    mkdir -p "$output/$name"
    timeout --signal=INT --kill-after=10 "$each" "$@" >"$output/$name/log" 2>&1
    local code=$?
    # An entry that failed is not tried again for the same reason; one that was stopped is.
    [ "$code" = 124 ] || [ "$code" = 130 ] || [ "$code" = 137 ] || echo "$code" >"$output/$name/finished"
    echo "$name: exit code $code, $((SECONDS - start)) s"
}

timed() { # an entry of benchmarks
    local name=$1
    shift
    entry "$name" python -m benchmarks --device "$device" --output "$output/$name" --resume \
        --samples 10 --seconds 1 "$@"
}

layers() { # the layers at a width, dtype and length, so many tokens, beside what people use
    timed "width$1-$2-$3" --layers $memories --forms chunkwise --modes backward step --width "$1" \
        --dtype "$2" --length "$3" --batch $((tokens / $3 > 0 ? tokens / $3 : 1)) \
        --peers fla "torch SDPA" "torch LSTM"
}

entry contract python -m pytest -q -x tests/contract/test_accelerator.py \
    -k "${LAYERS:-kimi or mamba3 or delta_product or path or tcn or slice or gla}" -p no:cacheprovider
[ -z "$programs" ] || timed tensorflow --exported "$programs" --peers none
for width in ${WIDTHS:-2048 1024}; do
    for length in ${LENGTHS:-8192 2048 32768}; do
        layers "$width" bfloat16 "$length"
    done
done
layers "${WIDTH32:-1024}" float32 "${LENGTH32:-2048}"
timed growth --layers $memories mamba/mamba griffin/block --forms chunkwise --modes backward \
    --dtype float32 --length ${GROWTH:-1024 8192 65536} --batch 1 --peers "torch SDPA"
timed stream --stream --layers $memories mamba/mamba griffin/block --peers none \
    --length ${STREAM:-1024 16384 262144 1048576}
for speed in ${SPEEDS-delta_net:speed mamba2:scan_speed mamba:scan_speed retnet:decoding}; do
    entry "${speed/:/-}" python -m "papers.${speed%%:*}" --experiment "${speed##*:}" \
        --preset paper --runs-dir "$output/${speed/:/-}/runs"
done
python -m benchmarks.sheet "$output"
