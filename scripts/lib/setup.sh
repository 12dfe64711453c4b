# Sourced by the bash entries (start, test, canary, app): puts the project's packages and its Node 24 in place.
# Works with the system's Node 20 and npm; does nothing, in a few milliseconds, when all stands already.
# Not here: system packages (scripts/lib/system-packages.ts) and the media worker (scripts/media-worker/).

# One sentence for the person at the terminal, then the end.
verbatim_fail() {
  printf '%s\n' "$1" >&2
  exit 1
}

# What npm's output in the file $1 means for the person at the terminal.
verbatim_npm_sentence() {
  local code
  code=$(grep -oE -m1 'ENOSPC|EDQUOT|EACCES|EROFS|ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ERR_SOCKET_TIMEOUT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_[A-Z_]+|E401|E403|E404|EUSAGE' "$1" | head -n 1)
  case $code in
    ENOSPC | EDQUOT) printf '%s' "The disk is full: free about 1 GB and start again" ;;
    EACCES | EROFS) printf '%s' "npm may not write its files ($code): give the clone and npm's cache to the user who runs this" ;;
    EUSAGE) printf '%s' 'package.json and package-lock.json do not belong together: check out both as they were committed' ;;
    '') printf '%s' "npm could not install the packages" ;;
    *) printf '%s' "The packages cannot be fetched from npm's registry ($code): check the network and npm's registry and proxy settings, and start again" ;;
  esac
  printf '%s' "; npm's own words are in $1."
}

# Call with the project's root as argument. Afterwards `node` and the packages' programs are first in PATH.
verbatim_setup() {
  local root=$1 log
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 ||
    verbatim_fail 'Node 20 or newer and npm are needed: apt-get install nodejs npm, or see https://nodejs.org.'

  if ! node "$root/scripts/lib/installed.mjs" "$root"; then
    [ -w "$root" ] || verbatim_fail "The folder $root is not writable: give it to the user who runs this."
    printf 'Installing the packages of package-lock.json (about half a minute).\n' >&2
    log=$(mktemp)
    # `dummy` keeps the media engine from downloading or building its worker here: that is a step of its own.
    # npm's own retries would keep the person waiting for more than a minute without a word.
    if ! (cd "$root" && MEDIASOUP_WORKER_BIN=dummy npm ci --no-audit --no-fund --loglevel=error \
      --fetch-retries=2 --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=5000 </dev/null >"$log" 2>&1); then
      verbatim_fail "$(verbatim_npm_sentence "$log")"
    fi
    rm -f "$log"
  fi
  PATH="$root/node_modules/.bin:$PATH"
  export PATH
  case $(node --version 2>/dev/null) in
    v2[4-9].* | v[3-9][0-9].*) ;;
    *) verbatim_fail "Node 24 is missing from node_modules: delete the folder $root/node_modules and start again." ;;
  esac
}
