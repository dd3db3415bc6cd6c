#!/bin/sh
# make demo: builds, trains one small GPT on real text with one worker for each core, and prints what it writes.
#   make demo                 English: the sayings of Debian's package `fortunes`
#   make demo LANGUAGE=zh     Chinese: poems and sayings of `fortunes-zh`
#   make demo TEXT=my.txt     your text
set -eu
cd "$(dirname "$0")/.."
language=${1:-} text=${2:-}
[ -z "$text" ] || language=
case $language in '' | en) language=en ;; zh) ;; *) echo "LANGUAGE=$language: only en and zh have a text; use TEXT=file for others" >&2; exit 2 ;; esac
say() { printf '\n== %s\n' "$*" >&2; }

if [ -n "$text" ]; then
    [ -r "$text" ] || { echo "TEXT=$text: no such file, or not readable" >&2; exit 3; }
    sh script/install_needs.sh build
    out=runs/demo-$(basename "$text" | sed 's/\.[^.]*$//; s/[^A-Za-z0-9_-]/-/g')
else
    sh script/install_needs.sh "demo-$language"
    out=runs/demo-$language
fi

say "building"
make --no-print-directory -s -j "$(getconf _NPROCESSORS_ONLN)" all
program=build/release/stentor

if [ -z "$text" ]; then
    text=build/demo/$language.txt
    mkdir -p build/demo
    case $language in en) packages="fortunes fortunes-min" ;; zh) packages=fortunes-zh ;; esac
    # shellcheck disable=SC2086
    files=$( (dpkg -L $packages 2>/dev/null || true) | grep '/fortunes/[^/.]*$' | sort)
    if [ -z "$files" ]; then
        folder=$(for d in /usr/share/games/fortunes /usr/share/fortune /usr/share/fortunes /opt/homebrew/share/games/fortunes; do
            [ -d "$d" ] && echo "$d" && break; done || true)
        [ -n "$folder" ] || { echo "no text found: install the package fortunes, or give one: make demo TEXT=file" >&2; exit 3; }
        files=$(find "$folder" -type f ! -name '*.*')
    fi
    escape=$(printf '\033') backspace=$(printf '\b')
    for file in $files; do [ -f "$file" ] && cat "$file"; done |
        sed "s/$escape\[[0-9;]*m//g; s/_$backspace//g; s/.$backspace//g; s/\t/    /g" | tr -d '\r\b\033' >"$text"
    echo "text: $text, $(wc -c <"$text") bytes of $packages" >&2
fi

if [ -d "$out" ]; then
    say "an earlier demo lies in $out: it is moved to $out.old"
    rm -rf "$out.old"
    mv "$out" "$out.old"
fi
say "training: examples/demo.yaml"
set +e
trap : INT # Ctrl-C reaches the program too, which stops with a checkpoint; this script stays to say how to go on
"$program" train examples/demo.yaml --set "data.train=$text" --set "out=$out"
code=$?
trap - INT
set -e
if [ "$code" -eq 75 ]; then
    echo "interrupted; go on with: $program train examples/demo.yaml --set data.train=$text --set out=$out --resume" >&2
    exit 75
fi
if [ "$code" -eq 3 ] && [ -f "$text" ] && [ "$(wc -c <"$text")" -lt 10000 ]; then
    echo "the demo wants a text of 10 kB or more, better 1 MB; $text has $(wc -c <"$text") bytes" >&2
fi
[ "$code" -eq 0 ] || exit "$code"

say "what it writes"
if [ "$language" = zh ]; then prompt='
'; else prompt='
'; fi
"$program" generate "$out" --prompt "$prompt" --max-tokens 400 --temperature 0.8 --top-k 40 --seed 1
echo
say "done"
cat >&2 <<EOF
The model lies in $out, a Hugging Face directory.
  more text     $program generate $out --prompt "Once" --max-tokens 200
  how good      $program eval $out
  what is in it $program inspect $out
EOF
