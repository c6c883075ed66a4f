-- The greeting dialogue as a TCP service of HAProxy.
local QUESTION = "Server: What's your name?"

core.register_service("greet", "tcp", function(applet)
    applet:send("Server: Welcome!\n" .. QUESTION)
    while true do
        local line = applet:getline()
        if line == nil or line == "" then
            return
        end
        local name = line:gsub("\r?\n$", "")
        if name == "exit" then
            applet:send("Server: Good bye!\n")
            return
        elseif name == "" then
            applet:send(QUESTION)
        else
            applet:send("Server: Hello " .. name .. "!\n" .. QUESTION)
        end
    end
end)
