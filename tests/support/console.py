"""Steps through the console in a browser: to a section, to the rows of a table, a picture for whoever wants to look."""
import base64
import os
import pathlib


def go(page, section):
    page.run("location.hash = arguments[0]", f"#/{section}")
    page.wait("return document.getElementById('main').dataset.section === arguments[0]", section.split("/")[0])


def rows(page, selector):
    """The cells of the table there."""
    return page.wait("""const refused = document.querySelector(arguments[0] + " .notice.bad");
        if (refused)
            return refused.innerText;
        const rows = [...document.querySelectorAll(arguments[0] + ' tbody tr')];
        return rows.length > 0 && rows.map((row) => [...row.cells].map((cell) => cell.innerText));""", selector)


def shot(page, name):
    """Pictures for whoever wants to look: FERROD_SCREENSHOTS names a directory."""
    directory = os.environ.get("FERROD_SCREENSHOTS")
    if directory:
        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        (pathlib.Path(directory) / f"{name}.png").write_bytes(base64.b64decode(page.call("GET", "/screenshot")))
