#!/usr/bin/env bash
# install.sh <folder>: an environment with vLLM for the CPU, made once for each requirements.txt.
set -euo pipefail
folder=$1
here=$(cd "$(dirname "$0")" && pwd)
needed_mb=4500
wanted=$(sha256sum "$here/requirements.txt" "$here/install.sh" | sha256sum | cut -d' ' -f1)
[ "$(cat "$folder/.octavo-vllm" 2>/dev/null)" = "$wanted" ] && exit 0

fail() { printf '%s\n' "$@" >&2; exit 1; }

free_mb=$(($(df -Pk "$(dirname "$folder")" | awk 'NR == 2 { print $4 }') / 1024))
((free_mb >= needed_mb)) ||
  fail "vLLM needs $needed_mb MB; the disk that holds $folder has $free_mb MB free. Free some space, then run make test-vllm again."

# The CPU build of PyTorch has the most wheels for Python 3.11.
python='' seen=''
for name in ${VLLM_BASE_PYTHON:-} python3.11 python3.12 python3.13 python3.14; do
  while [ -z "$python" ] && read -r found; do
    version=$("$found" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    seen="$seen $found is $version;"
    case $version in 3.11 | 3.12 | 3.13 | 3.14) python=$found ;; esac
  done < <(type -aP "$name" || true)
done
[ -n "$python" ] || fail "vLLM needs Python 3.11 to 3.14; found:${seen:- none}" \
  "Install Python 3.11 (or: uv python install 3.11), then run make test-vllm again; VLLM_BASE_PYTHON=/path/to/python chooses one."

echo "Installing vLLM for the CPU into $folder with $python (3.5 GB, some minutes, once) …"
rm -rf "$folder"
"$python" -m venv "$folder" ||
  fail "$python cannot make a virtual environment. On Debian or Ubuntu: apt install $(basename "$python")-venv"
pip=("$folder/bin/python" -m pip --disable-pip-version-check --quiet)
"${pip[@]}" install --requirement "$here/requirements.txt" ||
  fail "pip could not install vLLM; what it said is above. If it found no torch ending in +cpu:" \
    "name the index of PyTorch's CPU builds in PIP_EXTRA_INDEX_URL, then run make test-vllm again."
# Of another build than torch, and not needed to serve text.
"${pip[@]}" uninstall --yes torchvision torchaudio torchcodec
echo "$wanted" >"$folder/.octavo-vllm"
