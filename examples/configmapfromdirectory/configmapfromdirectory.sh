#!/bin/sh
# Keeps a ConfigMap with the files of a directory. A question a line in, an answer a line out; jq reads and writes JSON.
while read -r question; do
    directory=$(printf %s "$question" | jq -r .primary.spec.directory)
    files=$(cd "$directory" 2>/dev/null && for file in *; do
        [ ! -f "$file" ] || jq -n --arg name "$file" --rawfile text "$file" '{($name): $text}'
    done | jq -sc 'add // {}') || files=null
    printf %s "$question" | jq -c --argjson data "${files:-null}" '
        {apiVersion: "v1", kind: "ConfigMap"} as $map | .primary.metadata.name as $name | .primary.spec.directory as $path
        | {id, wakeAfterSeconds: 5} + if $data then {
            state: "Copied", because: "the directory is there", status: {files: ($data | length)},
            apply: [$map + {metadata: {$name}, $data}]
          } else {
            state: "Missing", because: "the directory is missing", status: {files: 0},
            delete: [$map + {$name}], waitingFor: [{guard: "the directory is there", detail: $path}]
          } end'
done
