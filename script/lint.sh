#!/bin/sh
# make lint: layers, limits, format, static analysis. Each finding is one line; ends with "lint: clean" or "lint: N findings".
#   lint.sh layers|limits|words|format|tidy|shell   runs one part
set -u
cd "$(dirname "$0")/.."
findings=0
found() { echo "$1"; findings=$((findings + 1)); }
report() { while IFS= read -r line; do found "$line"; done; }
want() { [ "$part" = all ] || [ "$part" = "$1" ]; }
part=${1:-all}
scratch=$(mktemp)
trap 'rm -f "$scratch"' EXIT
sources=$(git ls-files --cached --others --exclude-standard 'src/*.[ch]' 'tool/*.[ch]' 'include/*.h' | sort)

if want layers; then
    # What each room may include besides itself (DESIGN: the include order), transitively closed by hand.
    awk -v files="$sources" '
    function allow(room, list) { allowed[room] = " " room " " list " " }
    BEGIN {
        allow("base", ""); allow("text", "base"); allow("data", "base text"); allow("kernel", "base"); allow("comm", "base")
        allow("graph", "base"); allow("op", "base graph"); allow("pass", "base graph op"); allow("nn", "base graph op")
        allow("model", "base graph op nn"); allow("backend", "base graph op pass kernel"); allow("optim", "base kernel")
        allow("parallel", "base kernel graph op pass comm optim"); allow("store", "base graph op nn model text")
        below = "base text data kernel comm graph op pass nn model backend optim parallel store"
        allow("infer", below); allow("train", below " infer"); allow("api", below " train infer"); 
        n = split(files, list, "\n")
        for (i = 1; i <= n; i++) {
            file = list[i]; split(file, part, "/"); room = part[2]
            if (part[1] != "src") continue
            if (!(room in allowed)) { print file ": room " room " is not in the house"; continue }
            line = 0
            while ((getline text < file) > 0) {
                line++
                if (text ~ /exit *\(/ && text !~ /\/\// && text ~ /(^|[^_a-z])_?exit *\(/) print file ":" line ": exit() below tool/"
                if (text !~ /^ *# *include "/) continue
                target = text; sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
                split(target, where, "/")
                if (index(target, "/") == 0 && target != "stentor.h") { print file ":" line ": include \"" target "\" names no room"; continue }
                if (target == "stentor.h") { if (room != "api") print file ":" line ": only api/ includes stentor.h"; continue }
                if (index(allowed[room], " " where[1] " ") == 0) print file ":" line ": " room "/ may not include " where[1] "/"
            }
            close(file)
        }
    }' >"$scratch"
    report <"$scratch"
fi

if want limits; then
    # Files up to 600 lines and functions up to 60, kernels exempt; lines up to 100 columns (comments 140); graph + pass up to 1,500 lines.
    for file in $sources; do
        case $file in src/kernel/*) continue ;; esac
        awk -v file="$file" '
        { if (length($0) > 100 && $0 !~ /\/\//) print file ":" FNR ": " length($0) " columns, 100 allowed"
          if (length($0) > 140) print file ":" FNR ": " length($0) " columns, 140 allowed in comments" }
        /^[a-zA-Z_].*[^;]$/ && /\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
        /^\{/ { start = FNR }
        /^\}/ { if (start && FNR - start - 1 > 60) print file ":" start ": function " name " has " FNR - start - 1 " lines, 60 allowed"; start = 0 }
        END { if (FNR > 600) print file ": " FNR " lines, 600 allowed" }' "$file"
    done >"$scratch"
    report <"$scratch"
    size=$(cat src/graph/*.[ch] src/pass/*.[ch] | wc -l)
    [ "$size" -le 1500 ] || found "src/graph + src/pass: $size lines, 1,500 allowed"
fi

if want words; then
    git grep -n -i -E '\b(todo|fixme|xxx|hack|not implemented|unimplemented)\b' -- 'src' 'tool' 'include' >"$scratch"
    report <"$scratch"
    git grep -n -E '\b(strcpy|strcat|sprintf|gets|atoi|atof|atol|alloca|system|popen|rand)\(' -- 'src' 'tool' >"$scratch"
    report <"$scratch"
fi

if want format; then
    if command -v clang-format >/dev/null 2>&1; then
        for file in $sources $(git ls-files --cached --others --exclude-standard 'examples/*.c' 'test/*.[ch]' 'bench/*.c'); do
            case $file in src/kernel/cpu/kernels.h) continue ;; esac
            clang-format "$file" | cmp -s - "$file" || found "$file: not formatted (make format)"
        done
    else
        echo "lint: format skipped: clang-format is not here"
    fi
fi

if want tidy; then
    if command -v clang-tidy >/dev/null 2>&1; then
        echo "$sources" | grep '\.c$' | grep -v -e '/lanes/' -e '/mpi/library.c' |
            xargs -P "$(getconf _NPROCESSORS_ONLN)" -n 1 sh -c 'clang-tidy --quiet "$@" -- -std=gnu11 -D_GNU_SOURCE -Isrc -Iinclude -DSTENTOR_VERSION="\"0\"" -DHAVE_ZLIB -DHAVE_ZSTD 2>/dev/null' sh |
            grep -E '(warning|error):' | sed "s|$PWD/||" | sort -u >"$scratch"
        report <"$scratch"
    else
        echo "lint: clang-tidy is not here: skipped"
    fi
fi

if want shell && command -v shellcheck >/dev/null 2>&1; then
    shellcheck -S warning script/*.sh .ci/run $(git ls-files 'test/*.sh') | grep -E '^In ' >"$scratch"
    report <"$scratch"
fi

if [ "$findings" -eq 0 ]; then echo "lint: clean"; else echo "lint: $findings findings"; exit 1; fi
