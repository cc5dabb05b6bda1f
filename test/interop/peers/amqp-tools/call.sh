#!/bin/sh
# A recipe client of amqp-tools, which knows no correlation IDs: call.sh URL QUEUE FILE
#
# It makes one call, with FILE for its body, and prints the body of what comes to a reply queue that
# serves for this call alone.
set -eu
url=$1
queue=$2
file=$3

replies=$(amqp-declare-queue --durable --url="$url" --queue="replies-$$")
amqp-publish --url="$url" --routing-key="$queue" --reply-to="$replies" <"$file"
amqp-consume --url="$url" --queue="$replies" --count=1 cat
amqp-delete-queue --url="$url" --queue="$replies" >&2
