#!/usr/bin/env bash
# Brings the base images that deploy/docker/Dockerfile and docker-compose.yml name. Those that no registry
# gives are made under the same tags, for machines that reach Debian's packages alone. Not for production:
# Redis and nginx are Debian's then, Rust is this machine's own. Needs root, debootstrap and a Docker engine.
set -euo pipefail
cd "$(dirname "$0")/../.."

say() { echo "base-images: $*"; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# tag NAME: NAME with the tag that our files give it.
tag() { sed -nE "s/^(ARG [A-Z]+_IMAGE=|    image: )($1:.*)/\2/p" deploy/docker/Dockerfile docker-compose.yml | head -n 1; }
missing() { ! docker image inspect "$1" >/dev/null 2>&1 && ! timeout 300 docker pull -q "$1" 2>/dev/null; }

debian=$(tag debian) rust=$(tag rust) redis=$(tag redis) nginx=$(tag nginx)

if missing "$debian"; then
    suite=${debian#*:}
    suite=${suite%-slim}
    say "making $debian with debootstrap"
    root=$scratch/debian
    debootstrap --variant=minbase "$suite" "$root" >"$scratch/debootstrap.log" 2>&1 || {
        tail -n 20 "$scratch/debootstrap.log" >&2
        exit 1
    }
    # No service starts while a package is installed.
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale,info}/* "$root"/var/log/*.log
    tar -C "$root" -c . | docker import --change 'CMD ["bash"]' \
        --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$debian" >/dev/null
fi

# image TAG DIRECTORY: builds DIRECTORY/Dockerfile on the Debian image.
image() {
    say "making $1"
    DOCKER_BUILDKIT=1 docker build --progress=plain -t "$1" "$2" >"$scratch/build.log" 2>&1 || {
        tail -n 30 "$scratch/build.log" >&2
        exit 1
    }
}
readonly INSTALL='apt-get update -q && apt-get install -q -y --no-install-recommends'

if missing "$rust"; then
    mkdir -p "$scratch/rust/toolchain" "$scratch/rust/home"
    tar -C "$(rustc --print sysroot)" -c --exclude=./share --exclude=./lib/rustlib/src . | tar -C "$scratch/rust/toolchain" -x
    home=${CARGO_HOME:-$HOME/.cargo}
    [ ! -f "$home/config.toml" ] || cp "$home/config.toml" "$scratch/rust/home/"
    cp /etc/ssl/certs/ca-certificates.crt "$scratch/rust/"
    cat >"$scratch/rust/Dockerfile" <<END
FROM $debian
RUN $INSTALL gcc libc6-dev ca-certificates && rm -rf /var/lib/apt/lists/*
ENV CARGO_HOME=/usr/local/cargo
COPY home /usr/local/cargo
COPY toolchain /usr/local
# What this machine trusts.
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
END
    image "$rust" "$scratch/rust"
fi

# The users' numbers and the directories are those of the images on Docker Hub.
if missing "$redis"; then
    mkdir "$scratch/redis"
    cat >"$scratch/redis/Dockerfile" <<END
FROM $debian
RUN groupadd -r -g 999 redis && useradd -r -g redis -u 999 redis
RUN $INSTALL redis-server redis-tools && rm -rf /var/lib/apt/lists/*
RUN mkdir /data && chown redis:redis /data
VOLUME /data
WORKDIR /data
CMD ["redis-server"]
END
    image "$redis" "$scratch/redis"
fi
if missing "$nginx"; then
    mkdir "$scratch/nginx"
    cat >"$scratch/nginx/Dockerfile" <<END
FROM $debian
RUN groupadd -r -g 101 nginx && useradd -r -g nginx -u 101 nginx
RUN $INSTALL nginx-light && rm -rf /var/lib/apt/lists/*
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
END
    image "$nginx" "$scratch/nginx"
fi
say "there: $debian $rust $redis $nginx"
