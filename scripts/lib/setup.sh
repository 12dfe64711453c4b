# Sourced by the bash entries (start, test, canary, app): puts the project's packages and its Node 24 in place.
# Works with the system's Node 20 and npm; does nothing, in a few milliseconds, when all stands already.
# Not here: system packages (scripts/lib/system-packages.ts) and the media worker (scripts/media-worker/).

# One sentence for the person at the terminal, then the end.
verbatim_fail() {
  printf '%s\n' "$1" >&2
  exit 1
}

# The error codes with which npm says that it cannot reach its registry, or is not let in.
verbatim_network_errors='ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ENETUNREACH|EHOSTUNREACH|ETIMEDOUT|ERR_SOCKET_TIMEOUT|ENOTCACHED|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_[A-Z_]+|E401|E403'
# MB that an installation takes, with room for npm's cache.
verbatim_needed_mb=1000

# Answers npm's options: a registry that does not answer is not asked for hundreds of packages, one by one, which
# takes npm minutes. What lies in npm's cache may still be enough.
verbatim_npm_options() {
  local said
  if ! said=$(npm ping --fetch-retries=1 --fetch-retry-mintimeout=500 --fetch-timeout=10000 2>&1 </dev/null) &&
    grep -qE "$verbatim_network_errors" <<<"$said"; then
    printf '%s' '--offline'
  fi
}

# What npm's output in the file $1 means for the person at the terminal.
verbatim_npm_sentence() {
  local code
  code=$(grep -oE -m1 "ENOSPC|EDQUOT|EACCES|EROFS|EUSAGE|$verbatim_network_errors" "$1" | head -n 1)
  case $code in
    ENOSPC | EDQUOT) printf '%s' "The disk is full: free about $verbatim_needed_mb MB and start again" ;;
    EACCES | EROFS) printf '%s' "npm may not write its files ($code): give the clone and npm's cache to the user who runs this" ;;
    EUSAGE) printf '%s' 'package.json and package-lock.json do not belong together: check out both as they were committed' ;;
    '') printf '%s' 'npm could not install the packages' ;;
    ENOTCACHED) printf '%s' "npm's registry cannot be reached: check the network and npm's registry and proxy settings, and start again" ;;
    *) printf '%s' "npm's registry does not give the packages ($code): check the network and npm's registry and proxy settings, and start again" ;;
  esac
  printf '%s' "; npm's own words are in $1."
}

# Call with the project's root as argument. Afterwards `node` and the packages' programs are first in PATH.
verbatim_setup() {
  local root=$1 log free
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 ||
    verbatim_fail 'Node 20 or newer and npm are needed: apt-get install nodejs npm, or see https://nodejs.org.'

  if ! node "$root/scripts/lib/installed.mjs" "$root"; then
    [ -w "$root" ] || verbatim_fail "The folder $root is not writable: give it to the user who runs this."
    free=$(df -Pm "$root" | awk 'NR == 2 { print $4 }')
    [ "${free:-$verbatim_needed_mb}" -ge "$verbatim_needed_mb" ] ||
      verbatim_fail "The disk that holds $root has only $free MB free and $verbatim_needed_mb are needed: make room and start again."
    printf 'Installing the packages of package-lock.json (about half a minute).\n' >&2
    log=$(mktemp)
    # `dummy` keeps the media engine from downloading or building its worker here: that is a step of its own.
    # shellcheck disable=SC2046 # no option is no argument
    if ! (cd "$root" && MEDIASOUP_WORKER_BIN=dummy npm ci --no-audit --no-fund --loglevel=error \
      $(verbatim_npm_options) </dev/null >"$log" 2>&1); then
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
