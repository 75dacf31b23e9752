#!/bin/sh
# The operator of @KIND@: its ConfigMap says what it says. jq reads and writes JSON.
exec jq --unbuffered -c '
    {apiVersion: "v1", kind: "ConfigMap"} as $map | .primary.metadata.name as $name | .primary.spec.message as $message
    | {id} + if $message then {
        state: "Published", because: "there is a message", status: {$message},
        apply: [$map + {metadata: {$name}, data: {$message}}]
      } else {
        state: "Silent", because: "there is no message", status: {}, delete: [$map + {$name}]
      } end'
