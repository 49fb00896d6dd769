"""The least that NiceGUI needs for the same: an image, a keyboard, a count on the server."""

import sys
from pathlib import Path

from nicegui import app, ui

pictures = sorted(Path(sys.argv[1]).glob("[0-9]*.jpg"))
app.add_static_files("/pictures", sys.argv[1])
state = {"count": 0}


@ui.page("/")
def page():
    shown = ui.html(f'<img src="/pictures/{pictures[0].name}" height="800">', sanitize=False)
    del shown
    count = ui.label("0").props("id=count")

    def key(event):
        if event.action.keydown:
            state["count"] += 1
            name = pictures[state["count"] % len(pictures)].name
            count.set_text(str(state["count"]))
            ui.run_javascript(f"document.querySelector('img').src = '/pictures/{name}'")

    ui.keyboard(on_key=key)


app.on_startup(lambda: print("http://127.0.0.1:8077/", flush=True))
ui.run(host="127.0.0.1", port=8077, show=False, reload=False, show_welcome_message=False)
