// What a walk is told by its environment.
function needed(name) {
    const value = process.env[name];
    if (value) return value;
    console.error(`set ${name}; see tests/browser/README.md`);
    process.exit(2);
}

export const settings = {
    url: needed("TARN_URL").replace(/\/$/, ""),
    name: needed("TARN_NAME"),
    password: needed("TARN_PASSWORD"),
    /** Code of the setup link: with it the walk begins with setting up. */
    setupCode: process.env.TARN_SETUP_CODE,
    home: process.env.TARN_HOME ?? "home-1",
    /** Id of a device with a switch that the simulation confirms; any light of the home where it is not said. */
    light: process.env.TARN_LIGHT,
    /** `device/metric` with a year of readings. */
    history: process.env.TARN_HISTORY,
    /** Id of a pack of insights that finds something; without it one is run that may find nothing. */
    pack: process.env.TARN_PACK,
    screenshots: process.env.TARN_SCREENSHOTS,
    chromium: process.env.TARN_CHROMIUM ?? "/usr/bin/chromium",
};
