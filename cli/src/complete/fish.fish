# Completion of PROGRAM for fish.
function _PROGRAM_completion
    for line in (env COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) VARIABLE=fish_complete PROGRAM 2>/dev/null)
        set -l parts (string split -m 1 , -- $line)
        switch $parts[1]
            case plain
                echo $parts[2]
            case file
                __fish_complete_path $parts[2]
            case dir
                __fish_complete_directories $parts[2]
        end
    end
end
complete --no-files --command PROGRAM --arguments '(_PROGRAM_completion)'
