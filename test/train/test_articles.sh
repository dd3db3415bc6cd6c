#!/bin/sh
# Articles 2 and 5 as run files (examples/articles): single and parallel gradient descent have the same bits, and reach the closed-form
# solution to 1e-6; the network learns what its data hold.
# shellcheck source=test/shell.sh
. "$(dirname "$0")/../shell.sh"
examples=$root/examples/articles

sh "$examples/make-data.sh" build/articles || exit 1
for name in linear-regression mlp; do
    for workers in 1 4; do
        "$program" train "$examples/$name.yaml" --quiet --json --out $name-$workers --workers $workers >$name-$workers.json 2>err || break
    done
    if [ -n "$(field sha256 $name-1.json)" ] && [ "$(field sha256 $name-1.json)" = "$(field sha256 $name-4.json)" ]; then ok "$name: one worker and four have the same bits"; else not_ok "$name: one worker and four have the same bits"; fi
done
cp mlp-1.json err
if awk -v best="$(field best mlp-1.json)" 'BEGIN { exit !(best > 0.6) }'; then ok "mlp learns"; else not_ok "mlp learns"; fi

# The normal equations by elimination in awk's doubles, against the weights as they lie in the file: a header of as many bytes as its first 8
# say, then bias and weights as float32.
file=linear-regression-1/model.safetensors
header=$(od -An -t u8 -N 8 $file | tr -d ' ')
place() { head -c $((header + 8)) $file | tail -c $header | sed -n "s/.*\"$1\": *{[^}]*\"data_offsets\": *\[\([0-9]*\),.*/\1/p"; }
floats() { od -An -v -t f4 -j $((header + 8 + $1)) -N $2 $file | tr -s ' \n' '  '; }
{ echo "$(floats "$(place linear.weight)" 40) $(floats "$(place linear.bias)" 4)"; cat build/articles/article-5.csv; } >both
if awk -F '[ ,]+' 'NR == 1 { sub(/^ +/, ""); n = split($0, w, " "); next }
    { $0 = $0; for (i = 1; i <= 10; i++) x[i] = $i; x[11] = 1; for (i = 1; i <= 11; i++) { for (j = 1; j <= 11; j++) a[i, j] += x[i] * x[j]; a[i, 12] += x[i] * $11 } }
    END {
        for (k = 1; k <= 11; k++) for (i = 1; i <= 11; i++) if (i != k) { f = a[i, k] / a[k, k]; for (j = k; j <= 12; j++) a[i, j] -= f * a[k, j] }
        for (i = 1; i <= 11; i++) { d = a[i, 12] / a[i, i] - w[i]; if (d < 0) d = -d; if (d > worst) worst = d }
        print n " weights, the worst off by " worst; exit !(n == 11 && worst < 1e-6)
    }' both >err; then ok "linear regression reaches the closed form to 1e-6 ($(cat err))"; else not_ok "linear regression reaches the closed form to 1e-6"; fi
conclude
