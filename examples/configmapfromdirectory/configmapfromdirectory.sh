#!/bin/sh
# Keeps a ConfigMap with the files of a directory. A question a line in, an answer a line out; jq reads and writes JSON.
while read -r question; do
    directory=$(printf %s "$question" | jq -r .primary.spec.directory)
    files=$(cd "$directory" 2>/dev/null && find . -maxdepth 1 -type f -readable -printf '%P\0' | sort -z |
        xargs -0 jq -Rnc 'reduce inputs as $line ({}; .[input_filename] += $line + "\n")' /dev/null)
    printf %s "$question" | jq -c --argjson data "${files:-null}" '
        {apiVersion: "v1", kind: "ConfigMap"} as $map | .primary.metadata.name as $name | .primary.spec as $spec
        | {id, wakeAfterSeconds: $spec.everySeconds} + if $data then {
            state: "Copied", because: "the directory is there", status: {files: ($data | length)},
            apply: [$map + {metadata: {$name}, $data}]
          } else {
            state: "Missing", because: "the directory is missing", status: {files: 0},
            delete: [$map + {$name}], waitingFor: [{guard: "the directory is there", detail: $spec.directory}]
          } end'
done
